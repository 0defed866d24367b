package altermcp

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// once refuses a second line of the same setting: it would silently win.
type once map[string]int // setting to line

func (o once) check(d *caddyfile.Dispenser) error {
	if line, ok := o[d.Val()]; ok {
		return d.Errf("%s is already set on line %d", d.Val(), line)
	}
	o[d.Val()] = d.Line()
	return nil
}

// unknown is the error for a word that a block does not have. A typo must not
// pass: it could switch off a limit.
func unknown(d *caddyfile.Dispenser, block string, want ...string) error {
	return d.Errf("%s has no setting %q; want %s", block, d.Val(), strings.Join(want, ", "))
}

// oneArg reads a setting with exactly one argument.
func oneArg(d *caddyfile.Dispenser, dst *string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("%s takes one value, found %d; quote a text with blanks", name, len(args))
	}
	*dst = args[0]
	return nil
}

// manyArgs reads a setting with one argument or more.
func manyArgs(d *caddyfile.Dispenser, dst *[]string) error {
	name := d.Val()
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("%s takes one value or more, found none", name)
	}
	*dst = append(*dst, args...)
	return nil
}

// noArgs reads a setting that is a word alone.
func noArgs(d *caddyfile.Dispenser, dst *bool) error {
	name := d.Val()
	if d.NextArg() {
		return d.Errf("%s takes no value, found %q", name, d.Val())
	}
	*dst = true
	return nil
}

// duration reads a setting with a duration, such as 90s, 15m, 24h or 7d.
func duration(d *caddyfile.Dispenser, dst *caddy.Duration) error {
	name, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	value, err := caddy.ParseDuration(text)
	if err != nil || value < 0 {
		return d.Errf("%s %q: want a duration such as 90s, 15m, 24h or 7d", name, text)
	}
	*dst = caddy.Duration(value)
	return nil
}

// positive is duration for a setting that must not be zero.
func positive(d *caddyfile.Dispenser, dst *caddy.Duration) error {
	name := d.Val()
	if err := duration(d, dst); err != nil {
		return err
	}
	if *dst == 0 {
		return d.Errf("%s 0: want more than 0", name)
	}
	return nil
}

// count reads a setting with a whole number above zero.
func count(d *caddyfile.Dispenser, dst *int) error {
	name, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	value, err := strconv.Atoi(text)
	if err != nil || value <= 0 {
		return d.Errf("%s %q: want a whole number above 0", name, text)
	}
	*dst = value
	return nil
}

// size reads a setting with a number of bytes, such as 512KiB or 4MiB.
func size(d *caddyfile.Dispenser, dst *int64) error {
	name, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	value, err := humanize.ParseBytes(text)
	if err != nil || value == 0 || value > 1<<40 {
		return d.Errf("%s %q: want a size such as 512KiB or 4MiB", name, text)
	}
	*dst = int64(value)
	return nil
}

// authorizeParam reads `authorize_param <name> <value>`, which may come more
// than once.
func authorizeParam(d *caddyfile.Dispenser, dst *map[string]string) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("authorize_param takes a name and a value, found %d values: %s", len(args), strings.Join(args, " "))
	}
	if *dst == nil {
		*dst = make(map[string]string)
	}
	if _, ok := (*dst)[args[0]]; ok {
		return d.Errf("authorize_param %s is already set", args[0])
	}
	(*dst)[args[0]] = args[1]
	return nil
}
