package mcphandler

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSignedIdentityRefused(t *testing.T) {
	type m = SignedIdentity
	get := func(url string, headers ...Pair) *RequestConfig {
		return &RequestConfig{Method: "GET", URL: url, Headers: headers}
	}
	const api, aud = "https://crm.example.com/x", "https://crm.example.com"
	for name, c := range map[string]struct {
		identity m
		change   func(*DeclaredConfig)
		want     string
	}{
		"no audience":              {m{}, nil, "the audience is missing"},
		"a relative audience":      {m{Audience: "crm"}, nil, `audience "crm": accepted is an absolute URI`},
		"an audience with a blank": {m{Audience: "https://crm.example.com/a b"}, nil, "accepted is an absolute URI"},
		"an audience by person":    {m{Audience: "https://crm.example.com/{user.id}"}, nil, "without placeholders"},
		"a long audience":          {m{Audience: aud + strings.Repeat("x", maxAudience)}, nil, "accepted are at most 512"},
		"a header that is none":    {m{aud, "X Who"}, nil, `header "X Who": accepted is the name of a header`},
		"a header of one hop":      {m{aud, "connection"}, nil, "Connection has a meaning of its own"},
		"cookies":                  {m{aud, "cookie"}, nil, "Cookie has a meaning of its own"},
		"the header of the grant": {
			m{aud, "authorization"},
			func(c *DeclaredConfig) { c.Provider = "google" },
			"Authorization is the provider's",
		},
		"a header of the tool": {
			m{aud, ""},
			func(c *DeclaredConfig) { c.Request = get(api, Pair{"x-alter-identity", "{arg.who}"}) },
			"headers[0] x-alter-identity: this field is set by signed_identity",
		},
		"http":       {m{aud, ""}, func(c *DeclaredConfig) { c.Request = get("http://crm.example.com/x") }, "accepted is https, or http to a loopback host"},
		"no request": {m{aud, ""}, func(c *DeclaredConfig) { c.Request, c.Respond = nil, "hello" }, "accepted only with request"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := DeclaredConfig{Name: "tool", Description: "A tool", SignedIdentity: &c.identity, Request: get(api)}
			if c.change != nil {
				c.change(&cfg)
			}
			_, err := NewDeclared(cfg, &recorder{}, DeclaredOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("NewDeclared = %v, want %q", err, c.want)
			}
		})
	}
}

// What a tool wants to tell goes with each of its requests to what sends them.
func TestSignedIdentityIsNeeded(t *testing.T) {
	for name, identity := range map[string]*SignedIdentity{
		"none":             nil,
		"the usual header": {Audience: "urn:acme:crm"},
		"another header":   {Audience: "https://crm.example.com", Header: "authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, nil)
			tool := mustDeclare(t, up, DeclaredConfig{SignedIdentity: identity, Request: &RequestConfig{Method: "GET", URL: up.URL + "/x"}})
			if _, err := tool.Call(t.Context(), &Call{Caller: alice(), Arguments: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(identity, up.need.Identity); diff != "" {
				t.Errorf("need (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSignedIdentityHeader(t *testing.T) {
	for header, want := range map[string][2]string{
		"":              {"X-Alter-Identity", "t"},
		"x-who":         {"X-Who", "t"},
		"authorization": {"Authorization", "Bearer t"},
	} {
		s := SignedIdentity{Audience: "https://crm.example.com", Header: header}
		if got := [2]string{s.HeaderName(), s.HeaderValue("t")}; got != want {
			t.Errorf("header %q: %q, want %q", header, got, want)
		}
	}
}
