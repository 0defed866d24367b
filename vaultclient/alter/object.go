package alter

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// object reads a JSON object of the vault member by member. The first one that
// is missing or of a wrong type is kept in problem, and all that is read after
// it is zero: an answer is right as a whole or not at all. Members that are not
// asked for do no harm; null counts as absent.
type object struct {
	members map[string]json.RawMessage
	path    string
	problem *string
}

// object makes a call and returns its answer for reading; the answer is for
// [object.err].
func (c *Client) object(ctx context.Context, k call) (*object, *answer, error) {
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, nil, err
	}
	return newObject(a.body), a, nil
}

func newObject(text []byte) *object {
	o := &object{problem: new(string)}
	if json.Unmarshal(text, &o.members) != nil || o.members == nil {
		o.fail("", "the answer is no JSON object")
	}
	return o
}

// err is [ErrMalformed] if anything was wrong. It repeats no value: one may be a
// token.
func (o *object) err(k *call, a *answer) error {
	if *o.problem == "" {
		return nil
	}
	return k.malformed(a, *o.problem)
}

func (o *object) fail(name, what string) {
	if *o.problem == "" {
		*o.problem = strings.TrimSpace(o.path + name + " " + what)
	}
}

func (o *object) has(name string) bool {
	raw := o.members[name]
	return raw != nil && string(raw) != "null"
}

// need refuses an answer without a member.
func (o *object) need(name string) {
	if !o.has(name) {
		o.fail(name, "is missing")
	}
}

// read decodes a member that is there into out, and reports whether it could.
func (o *object) read(name string, out any, want string) bool {
	if !o.has(name) {
		return false
	}
	if json.Unmarshal(o.members[name], out) != nil {
		o.fail(name, "is no "+want)
		return false
	}
	return true
}

// maybeText is a string that may be absent or empty.
func (o *object) maybeText(name string) string {
	var s string
	o.read(name, &s, "string")
	return s
}

// text is a string that must be there and not be empty.
func (o *object) text(name string) string {
	s := o.maybeText(name)
	if s == "" {
		o.fail(name, "is missing or empty")
	}
	return s
}

func (o *object) secret(name string) vaultclient.Secret { return vaultclient.NewSecret(o.text(name)) }

// word is a text that must be one of those allowed; def stands for an absent
// one, and "" means that it must be there.
func (o *object) word(name, def string, allowed ...string) string {
	s := def
	if def == "" || o.has(name) {
		s = o.text(name)
	}
	if !slices.Contains(allowed, s) {
		o.fail(name, "has a value that the protocol does not have")
	}
	return s
}

// maybeID is a UUID, in lower case, or "".
func (o *object) maybeID(name string) string {
	s := strings.ToLower(o.maybeText(name))
	if o.has(name) && !isUUID(s) {
		o.fail(name, "is no UUID")
	}
	return s
}

func (o *object) id(name string) string {
	o.need(name)
	return o.maybeID(name)
}

// maybeTime reads RFC 3339; a time without an offset is in UTC, for so some of
// the vault's answers may be.
func (o *object) maybeTime(name string) time.Time {
	s := o.maybeText(name)
	if !o.has(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	if err != nil {
		o.fail(name, "is no time (RFC 3339)")
	}
	return t
}

func (o *object) time(name string) time.Time {
	o.need(name)
	return o.maybeTime(name)
}

// maybeNumber is a whole number that is not negative; an absent one is 0.
func (o *object) maybeNumber(name string) int64 {
	var n int64
	if o.read(name, &n, "whole number") && n < 0 {
		o.fail(name, "is negative")
	}
	return n
}

func (o *object) number(name string) int64 {
	o.need(name)
	return o.maybeNumber(name)
}

// maxSpan bounds durations, so that none can overflow.
const maxSpan = 100 * 365 * 24 * time.Hour

func (o *object) maybeSpan(name string, unit time.Duration) time.Duration {
	n := o.maybeNumber(name)
	return time.Duration(min(n, int64(maxSpan/unit))) * unit
}

func (o *object) seconds(name string) time.Duration {
	o.need(name)
	return o.maybeSpan(name, time.Second)
}

// maybeFlag is false when absent.
func (o *object) maybeFlag(name string) bool {
	var b bool
	o.read(name, &b, "boolean")
	return b
}

func (o *object) flag(name string) bool {
	o.need(name)
	return o.maybeFlag(name)
}

// maybeTexts is a list of strings; null in the list is none.
func (o *object) maybeTexts(name string) []string {
	var raw []*string
	o.read(name, &raw, "list of strings")
	var out []string
	for _, s := range raw {
		if s == nil {
			o.fail(name, "has an entry that is no string")
			return nil
		}
		out = append(out, *s)
	}
	return out
}

func (o *object) maybeTextMap(name string) map[string]string {
	var raw map[string]*string
	o.read(name, &raw, "object of strings")
	out := make(map[string]string, len(raw))
	for k, s := range raw {
		if s == nil {
			o.fail(name, "has a member that is no string")
			return nil
		}
		out[k] = *s
	}
	return out
}

// maybeObject is nil when absent.
func (o *object) maybeObject(name string) *object {
	inner := o.inner(name)
	if !o.read(name, &inner.members, "object") {
		return nil
	}
	return inner
}

// maybeObjects is a list of objects.
func (o *object) maybeObjects(name string) []*object {
	var raw []map[string]json.RawMessage
	o.read(name, &raw, "list of objects")
	var out []*object
	for _, m := range raw {
		inner := o.inner(name)
		if inner.members = m; m == nil {
			o.fail(name, "has an entry that is no object")
		}
		out = append(out, inner)
	}
	return out
}

// objects is a list of at least one.
func (o *object) objects(name string) []*object {
	list := o.maybeObjects(name)
	if len(list) == 0 {
		o.fail(name, "is missing or empty")
	}
	return list
}

func (o *object) inner(name string) *object {
	return &object{path: o.path + name + ".", problem: o.problem}
}
