package alter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RateLimit is what the vault last said of its request limit.
type RateLimit struct {
	Limit     int
	Remaining int
	ResetAt   time.Time
}

// RateLimit returns what the vault said last; false if it said nothing yet.
func (c *Client) RateLimit() (RateLimit, bool) {
	if r := c.rate.Load(); r != nil {
		return *r, true
	}
	return RateLimit{}, false
}

func (c *Client) rememberRate(h http.Header) {
	r, ok := rateOf(h, c.cfg.Now())
	if ok {
		c.rate.Store(&r)
	}
}

// rateOf reads X-RateLimit-*, or the fields of the IETF's draft
// (draft-ietf-httpapi-ratelimit-headers-11).
func rateOf(h http.Header, now time.Time) (RateLimit, bool) {
	limit, ok1 := digits(h.Get("X-Ratelimit-Limit"))
	remaining, ok2 := digits(h.Get("X-Ratelimit-Remaining"))
	reset, ok3 := digits(h.Get("X-Ratelimit-Reset"))
	if ok1 && ok2 && ok3 {
		return RateLimit{Limit: int(limit), Remaining: int(remaining), ResetAt: time.Unix(reset, 0)}, true
	}
	limit, ok1 = parameter(h.Get("Ratelimit-Policy"), "q")
	remaining, ok2 = parameter(h.Get("Ratelimit"), "r")
	reset, ok3 = parameter(h.Get("Ratelimit"), "t")
	if !ok1 || !ok2 || !ok3 {
		return RateLimit{}, false
	}
	return RateLimit{Limit: int(limit), Remaining: int(remaining), ResetAt: now.Add(time.Duration(reset) * time.Second)}, true
}

// parameter returns a whole number of the first item of a structured field,
// such as q of `"default";q=600;w=60` (RFC 9651). The item's own value is a
// string, in which nothing counts.
func parameter(field, name string) (int64, bool) {
	if rest, ok := strings.CutPrefix(strings.TrimLeft(field, " "), `"`); ok {
		_, after, ended := strings.Cut(rest, `"`)
		if !ended {
			return 0, false
		}
		field = after
	}
	item, _, _ := strings.Cut(field, ",")
	for part := range strings.SplitSeq(item, ";") {
		if key, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && key == name {
			return digits(value)
		}
	}
	return 0, false
}

// digits reads a whole number of at most ten digits.
func digits(s string) (int64, bool) {
	if s == "" || len(s) > 10 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
