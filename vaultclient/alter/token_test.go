package alter

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// Whatever is wrong with a token, nothing is sent with it.
func TestTokenAnswerMalformed(t *testing.T) {
	wrong := map[string][]string{
		"access_token":           {`""`, `null`, `7`, `["a"]`, `"a\r\nb"`, `"a\u0000"`},
		"grant_id":               {`""`, `null`, `7`, `"g"`, `"0198C0DE-0000-7000-8000-000000000001"`, `"0198c0de000070008000000000000001"`},
		"token_type":             {`""`, `null`, `7`, `" Bearer"`, `"a\nb"`, `"` + strings.Repeat("x", 256) + `"`},
		"provider_id":            {`null`, `7`, `" google"`, `"a\u007f"`, `"` + strings.Repeat("x", 256) + `"`},
		"expires_in":             {`-1`, `"60"`, `true`, `1.5`, `1e30`, `[]`},
		"expires_at":             {`""`, `7`, `"2026-11-23"`, `"2026-11-23T08:00:00"`, `"tomorrow"`, `"2026-11-23T08:00:00+25:00"`},
		"scopes":                 {`null`, `"a b"`, `[null]`, `[7]`, `[""]`, `[" a"]`, `["a\n"]`, `{}`},
		"token_generation":       {`""`, `7`, `"one"`, `[]`},
		"scope_mismatch":         {`null`, `"true"`, `1`},
		"injection_header":       {`null`, `""`, `7`, `"Host"`, `"cookie"`, `"X-Forwarded-For"`, `"a b"`, `"1a"`, `"a_b"`, `"a:"`, `"` + strings.Repeat("x", 61) + `"`},
		"injection_format":       {`null`, `""`, `7`, `"Bearer"`, `"{token}\r\nX: y"`, `"{token}` + strings.Repeat("x", 200) + `"`},
		"additional_credentials": {`[]`, `"a"`, `{"a":null}`, `{"a":7}`, `{"a":" "}`, `{"a":"b\n"}`, `{"a":"` + strings.Repeat("x", 8193) + `"}`, `{"` + strings.Repeat("k", 51) + `":"v"}`, elevenCredentials()},
		"additional_injections": {
			`{}`, `"a"`, `[null]`, `[7]`, `[{}]`, `[{"target":"header","key":"X-A"}]`,
			`[{"target":"body","key":"X-A","value_source":"token"}]`, `[{"target":"header","key":"Host","value_source":"token"}]`,
			`[{"target":"header","key":"a b","value_source":"token"}]`, `[{"target":"header","key":"X-A","value_source":"tokens"}]`,
			`[{"target":"header","key":"X-A","value_source":"additional_credentials.A"}]`,
			`[{"target":"header","key":"X-A","value_source":"additional_credentials."}]`,
			`[{"target":"header","key":"X-A","value_source":"token","more":"x"}]`,
			`[{"Target":"header","key":"X-A","value_source":"token"}]`,
			`[` + strings.Repeat(`{"target":"header","key":"X-A","value_source":"token"},`, 10) + `{"target":"header","key":"X-A","value_source":"token"}]`,
		},
	}
	f := newFlow(t, Config{})
	n := 0
	for member, values := range wrong {
		for _, value := range values {
			f.ClearFaults()
			f.AddFault(altertest.Fault{Path: tokenPath, Set: map[string]json.RawMessage{member: json.RawMessage(value)}})
			_, _, err := f.get(f.client, f.use("alice"), "ok")
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s %s: %v", member, value, err)
			}
			n++
		}
	}
	for _, member := range []string{"access_token", "grant_id"} {
		f.AddFault(altertest.Fault{Path: tokenPath, Drop: []string{member}, Set: map[string]json.RawMessage{strings.ToUpper(member): json.RawMessage(`"x"`)}})
		if _, _, err := f.get(f.client, f.use("alice"), "ok"); !errors.Is(err, ErrMalformed) {
			t.Errorf("without %s: %v", member, err)
		}
		n++
	}
	for _, body := range []string{`null`, `[]`, `"x"`, `{`, `{"access_token":"a"} {}`, "", `"` + strings.Repeat("x", maxAnswer) + `"`, "{\"access_token\":\"\xff\"}"} {
		raw, err := json.Marshal(body) // sent as that text
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(body, "\xff") {
			raw = []byte(body)
		}
		f.AddFault(altertest.Fault{Path: tokenPath, Status: 200, Body: raw})
		if _, _, err := f.get(f.client, f.use("alice"), "ok"); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: %v", body, err)
		}
		n++
	}
	f.wantCounts(n, 0) // nor was any of them asked for twice
}

func elevenCredentials() string {
	var parts []string
	for _, r := range "abcdefghijk" {
		parts = append(parts, `"`+string(r)+`":"v"`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// What is not said, and what is not known, does no harm.
func TestTokenAnswerLeast(t *testing.T) {
	f := newFlow(t, Config{})
	f.AddFault(altertest.Fault{
		Path: tokenPath,
		Drop: []string{
			"token_type", "provider_id", "expires_in", "expires_at", "scopes", "token_generation", "scope_mismatch",
			"injection_header", "injection_format", "additional_credentials", "additional_injections",
		},
		Set: map[string]json.RawMessage{"retry_info": json.RawMessage(`7`), "news": json.RawMessage(`{}`)},
	})
	if status, _, err := f.get(f.client, f.use("alice"), "ok"); status != 200 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
}

func TestTokenExpiry(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		body string
		want time.Time
	}{
		"not said":      {`{}`, time.Time{}},
		"the earlier 1": {`{"expires_in":60,"expires_at":"2026-11-23T09:00:00Z"}`, now.Add(time.Minute)},
		"the earlier 2": {`{"expires_in":3600,"expires_at":"2026-11-23T10:01:00.5+02:00"}`, now.Add(time.Minute + time.Second/2)},
		"for ever":      {`{"expires_in":9223372036854775807}`, now.Add(1 << 31 * time.Second)},
	} {
		w := tokenAnswer{}
		w.decode([]byte(c.body))
		w.AccessToken, w.GrantID = "a", "0198c0de-0000-7000-8000-000000000001"
		if problem := w.problem(); problem != "" {
			t.Fatalf("%s: %s", name, problem)
		}
		if got := w.token(now).Expiry; !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestGrantCheck(t *testing.T) {
	const id = "0198c0de-0000-7000-8000-000000000001"
	for name, g := range map[string]Grant{
		"nothing":    {},
		"both":       {ID: id, Provider: "google"},
		"no UUID":    {ID: "g"},
		"id, label":  {ID: id, Label: "l"},
		"id, person": {ID: id, AppUserID: "u"},
	} {
		if err := g.check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := (&Grant{ID: strings.ToUpper(id)}).body().GrantID; got != id {
		t.Errorf("grant id %s", got)
	}
}
