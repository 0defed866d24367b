package alter

import (
	"net/http"
	"strings"
)

// bearerChallenge returns the parameters of the Bearer challenge in an answer
// (RFC 6750 section 3), nil if there is none. Several challenges may stand in one
// field, and several fields (RFC 9110 section 11.6.1). What cannot be read ends
// a field: what was read before counts.
func bearerChallenge(h http.Header) map[string]string {
	for _, field := range h.Values("Www-Authenticate") {
		p := challengeParser{rest: field}
		for p.next() {
			if strings.EqualFold(p.scheme, "bearer") {
				return p.params
			}
		}
	}
	return nil
}

// challengeParser reads one WWW-Authenticate field challenge by challenge.
type challengeParser struct {
	rest   string
	scheme string
	params map[string]string
}

// next reads a challenge; false at the end.
func (p *challengeParser) next() bool {
	p.rest = strings.TrimLeft(p.rest, " \t,")
	p.scheme = p.token()
	if p.scheme == "" {
		return false
	}
	p.params = make(map[string]string)
	for {
		before := p.rest
		p.rest = strings.TrimLeft(p.rest, " \t,")
		name := p.token()
		if name == "" {
			return true
		}
		p.rest = strings.TrimLeft(p.rest, " \t")
		if !strings.HasPrefix(p.rest, "=") { // the next scheme
			p.rest = before
			return true
		}
		if p.skipPadding() {
			continue
		}
		p.rest = strings.TrimLeft(p.rest[1:], " \t")
		value, ok := p.value()
		if !ok {
			return p.stop()
		}
		if name = strings.ToLower(name); p.params[name] == "" { // the first one counts
			p.params[name] = value
		}
	}
}

// skipPadding passes over the end of a token68 (RFC 9110 section 11.2), which may
// stand in place of parameters: "=" up to the end of the challenge.
func (p *challengeParser) skipPadding() bool {
	rest := strings.TrimLeft(strings.TrimLeft(p.rest, "="), " \t")
	if rest != "" && rest[0] != ',' {
		return false
	}
	p.rest = rest
	return true
}

// stop gives up the rest of the field.
func (p *challengeParser) stop() bool {
	p.rest = ""
	return true
}

// token reads a token (RFC 9110 section 5.6.2).
func (p *challengeParser) token() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
	if end < 0 {
		end = len(p.rest)
	}
	token := p.rest[:end]
	p.rest = p.rest[end:]
	return token
}

// value reads a token or a quoted string (RFC 9110 section 5.6.4).
func (p *challengeParser) value() (string, bool) {
	if !strings.HasPrefix(p.rest, `"`) {
		value := p.token()
		return value, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; c {
		case '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case '\\':
			if i++; i < len(p.rest) {
				b.WriteByte(p.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
