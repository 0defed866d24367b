package altermcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"golang.org/x/text/cases"
)

// Rules say who may use something: an endpoint, a provider or a tool. The rules
// of a list are alternatives, and so are the values of a rule; deny wins.
// Without an allow, everyone may who is not denied.
type Rules struct {
	// Who may.
	Allow []Rule `json:"allow,omitempty"`
	// Who may not, whatever allow says.
	Deny []Rule `json:"deny,omitempty"`
}

// Rule matches people by exactly one of its fields.
type Rule struct {
	// E-mail addresses, or `*@example.com` for all of exactly that domain.
	// Only addresses that the identity has verified match; letter case does
	// not matter.
	Email []string `json:"email,omitempty"`
	// Domains of e-mail addresses: `example.com` is `*@example.com`.
	Domain []string `json:"domain,omitempty"`
	// Groups, as the identity gives them.
	Group []string `json:"group,omitempty"`
	// Subjects, as the identity names people: `sub` of an OIDC provider, or
	// the name of a local account, whose letter case does not matter.
	Subject []string `json:"subject,omitempty"`
	// Everyone whom the identity authenticates.
	Any bool `json:"any,omitempty"`
}

// someone is what rules know of a person.
type someone struct {
	issuer        string
	subject       string
	email         string
	emailVerified bool
	groups        []string
}

// isNamed reports whether a rule's subject is the person's. Letter case does not
// tell the names of local accounts apart, and nobody else's may be folded.
func (p *someone) isNamed(subject string) bool {
	return subject == p.subject || p.issuer == localIssuer && foldName(subject) == p.subject
}

// admit reports whether the person may.
func (r *Rules) admit(p someone) bool {
	matches := func(rule Rule) bool { return rule.matches(p) }
	if slices.ContainsFunc(r.Deny, matches) {
		return false
	}
	return len(r.Allow) == 0 || slices.ContainsFunc(r.Allow, matches)
}

// empty reports whether there is no rule.
func (r *Rules) empty() bool { return len(r.Allow) == 0 && len(r.Deny) == 0 }

func (r *Rule) matches(p someone) bool {
	switch {
	case r.Any:
		return true
	case len(r.Subject) > 0:
		return slices.ContainsFunc(r.Subject, p.isNamed)
	case len(r.Group) > 0:
		return slices.ContainsFunc(r.Group, func(g string) bool { return slices.Contains(p.groups, g) })
	}
	if !p.emailVerified || p.email == "" {
		return false
	}
	address := fold(p.email)
	_, domain, _ := cutLast(address, "@")
	return slices.ContainsFunc(r.Email, func(pattern string) bool {
		if of, ok := strings.CutPrefix(pattern, "*@"); ok {
			return fold(of) == domain
		}
		return fold(pattern) == address
	}) || slices.ContainsFunc(r.Domain, func(d string) bool { return fold(d) == domain })
}

func fold(s string) string { return cases.Fold().String(s) }

// cutLast cuts s around the last separator: what is before the @ of an address
// may hold another one, in quotes.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// check reports the first rule that can never match, or that says nothing.
func (r *Rules) check() error {
	for _, list := range []struct {
		word  string
		rules []Rule
	}{{"allow", r.Allow}, {"deny", r.Deny}} {
		for i, rule := range list.rules {
			if err := rule.check(); err != nil {
				return fmt.Errorf("%s %d: %w", list.word, i, err)
			}
			if rule.Any && list.word == "deny" {
				return errors.New("deny any: nobody could use it")
			}
		}
	}
	return nil
}

func (r *Rule) check() error {
	set := 0
	for _, has := range []bool{len(r.Email) > 0, len(r.Domain) > 0, len(r.Group) > 0, len(r.Subject) > 0, r.Any} {
		if has {
			set++
		}
	}
	if set != 1 {
		return errors.New("want exactly one of email, domain, group, subject and any")
	}
	for _, pattern := range r.Email {
		local, domain, ok := cutLast(pattern, "@")
		if !ok || local == "" || !isDomain(domain) || local != "*" && strings.Contains(local, "*") {
			return fmt.Errorf("email %q: want an address, or *@example.com", pattern)
		}
	}
	for _, domain := range r.Domain {
		if !isDomain(domain) {
			return fmt.Errorf("domain %q: want a domain such as example.com", domain)
		}
	}
	return nil
}

func isDomain(s string) bool {
	return s != "" && !strings.ContainsAny(s, "@* /\t\r\n") && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".")
}

// unmarshalRule reads a line of rules into the list of its word. Syntax:
//
//	allow | deny email <address>... | domain <domain>... | group <group>... | subject <subject>... | any
func (r *Rules) unmarshalRule(d *caddyfile.Dispenser) error {
	word := d.Val()
	if !d.NextArg() {
		return d.Errf("%s takes email, domain, group, subject or any", word)
	}
	var rule Rule
	kind := d.Val()
	var err error
	switch kind {
	case "email":
		err = manyArgs(d, &rule.Email)
	case "domain":
		err = manyArgs(d, &rule.Domain)
	case "group":
		err = manyArgs(d, &rule.Group)
	case "subject":
		err = manyArgs(d, &rule.Subject)
	case "any":
		err = noArgs(d, &rule.Any)
	default:
		err = d.Errf("%s %q: want email, domain, group, subject or any", word, kind)
	}
	if err != nil {
		return err
	}
	if err := rule.check(); err != nil {
		return d.WrapErr(err)
	}
	if word == "allow" {
		r.Allow = append(r.Allow, rule)
		return nil
	}
	if rule.Any {
		return d.Err("deny any: nobody could use it")
	}
	r.Deny = append(r.Deny, rule)
	return nil
}
