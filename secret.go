package altermcp

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// expand resolves the placeholders of a setting at provision. An empty or
// unknown one is an error that names the setting and never the value: an unset
// secret must stop the start.
func expand(setting, value string) (string, error) {
	if err := checkShorthand(value); err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	out, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", setting, err)
	}
	return out, nil
}

// expandSecret is expand for a setting that must not be empty.
func expandSecret(setting, value string) (string, error) {
	out, err := expand(setting, value)
	if err == nil && out == "" {
		err = fmt.Errorf("%s is empty", setting)
	}
	return out, err
}

// checkShorthand finds the placeholders that Caddy made of shorthands in the
// Caddyfile, such as {host} or {file.secret}, before this module saw them. They
// belong to a request that does not exist here.
func checkShorthand(value string) error {
	_, rest, found := strings.Cut(value, "{http.")
	if !found {
		return nil
	}
	name, _, _ := strings.Cut(rest, "}")
	return fmt.Errorf("a shorthand was rewritten by Caddy to {http.%s}, which means nothing here; "+
		"for a file, write its path with a slash, as in {file./run/secrets/name}; for the environment, {env.NAME}", name)
}

// expandName resolves one placeholder name for tool texts.
func expandName(name string) (string, error) {
	return caddy.NewReplacer().ReplaceOrErr("{"+name+"}", true, true)
}
