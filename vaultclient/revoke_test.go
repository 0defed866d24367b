package vaultclient

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wire is what a request of the operator's client consists of.
type wire struct {
	Method, URL, Authorization, ContentType, Body string
}

// fakeProvider answers at a server of its own, on any path, and keeps what it got.
type fakeProvider struct {
	url string
	got []wire
}

func newFakeProvider(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *fakeProvider {
	t.Helper()
	f := new(fakeProvider)
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.got = append(f.got, wire{r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("Content-Type"), string(body)})
		answer(w, r)
	}))
	t.Cleanup(ts.Close)
	f.url = ts.URL
	return f
}

// at returns a preset with all its endpoints at the fake.
func (f *fakeProvider) at(t *testing.T, preset string) *Provider {
	t.Helper()
	p, ok := Preset(preset)
	if !ok {
		t.Fatalf("no preset %s", preset)
	}
	p.ClientID, p.ClientSecret = "the id", NewSecret("the secret")
	for _, endpoint := range []*string{&p.AuthorizationURL, &p.TokenURL, &p.RevocationURL} {
		u, err := url.Parse(*endpoint)
		if err != nil {
			t.Fatal(err)
		}
		*endpoint = f.url + u.Path
	}
	return &p
}

const formType = "application/x-www-form-urlencoded"

// answering answers a revocation, and a renewal with the token "new".
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.Contains(r.URL.Path, "access") { // GitHub's and Slack's token endpoint
			_, _ = io.WriteString(w, `{"ok":true,"access_token":"new","refresh_token":"newer"}`)
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRevoke(t *testing.T) {
	const (
		basic   = "Basic dGhlIGlkOnRoZSBzZWNyZXQ=" // the id:the secret
		client  = "client_id=the+id&client_secret=the+secret&"
		renewal = client + "grant_type=refresh_token&refresh_token=old+refresh"
	)
	for name, test := range map[string]struct {
		preset, access, refresh string
		status                  int
		body                    string
		want                    []wire
	}{
		"RFC 7009": {
			"google", "access", "", 200, "{}",
			[]wire{{"POST", "/revoke", "", formType, client + "token=access"}},
		},
		"RFC 7009, by the refresh token": {
			"google", "access", "refresh", 200, "{}",
			[]wire{{"POST", "/revoke", "", formType, client + "token=refresh"}},
		},
		"GitHub": {
			"github", `"access"`, "", 204, "",
			[]wire{{"DELETE", "/applications/the%20id/grant", basic, "application/json", `{"access_token":"\"access\""}`}},
		},
		"GitHub, not by the refresh token": {
			"github", "access", "refresh", 204, "",
			[]wire{{"DELETE", "/applications/the%20id/grant", basic, "application/json", `{"access_token":"access"}`}},
		},
		"GitHub, after the access token has ended": {
			"github", "", "old refresh", 204, "",
			[]wire{
				{"POST", "/login/oauth/access_token", "", formType, renewal},
				{"DELETE", "/applications/the%20id/grant", basic, "application/json", `{"access_token":"new"}`},
			},
		},
		"Slack": {
			"slack", "access", "", 200, `{"ok":true,"revoked":true}`,
			[]wire{{"POST", "/api/auth.revoke", "Bearer access", "", ""}},
		},
		"Slack, after the access token has ended": {
			"slack", "", "old refresh", 200, `{"ok":true,"revoked":true}`,
			[]wire{
				{"POST", "/api/oauth.v2.access", "", formType, renewal},
				{"POST", "/api/auth.revoke", "Bearer new", "", ""},
			},
		},
		"nothing to name the grant by": {"github", "", "", 204, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t, answering(test.status, test.body))
			p := f.at(t, test.preset)
			if err := p.Revoke(t.Context(), NewBase(), NewSecret(test.access), NewSecret(test.refresh)); err != nil {
				t.Errorf("Revoke() = %v", err)
			}
			if diff := cmp.Diff(test.want, f.got); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// An answer that is no success is an error, which holds no token.
func TestRevokeFails(t *testing.T) {
	for name, test := range map[string]struct {
		preset string
		status int
		body   string
		want   string
	}{
		"RFC 7009 refused":             {"google", 400, `{"error":"invalid_token"}`, "revocation endpoint answered 400"},
		"GitHub knows no such token":   {"github", 404, `{"message":"Not Found"}`, "revocation endpoint answered 404"},
		"GitHub leads elsewhere":       {"github", 307, "", "revocation endpoint answered 307"},
		"Slack refused with 200":       {"slack", 200, `{"ok":false,"error":"invalid_auth"}`, "revocation endpoint answered ok: false, invalid_auth"},
		"Slack repeats the token":      {"slack", 200, `{"ok":false,"error":"no the/token here"}`, "revocation endpoint answered ok: false, no [hidden] here"},
		"Slack says nothing of ok":     {"slack", 200, `{}`, "revocation endpoint answered ok: false, "},
		"Slack answers with no JSON":   {"slack", 200, `the/token`, "revocation endpoint answered 200 and no JSON with ok"},
		"Slack answers with no object": {"slack", 200, `{"ok":"the/token"}`, "revocation endpoint answered 200 and no JSON with ok"},
		"Slack has too many requests":  {"slack", 429, `{"ok":true}`, "revocation endpoint answered 429"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeProvider(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				answering(test.status, test.body)(w, r)
			})
			err := f.at(t, test.preset).Revoke(t.Context(), NewBase(), NewSecret("the/token"), Secret{})
			if err == nil || err.Error() != test.want {
				t.Errorf("Revoke() = %v, want %q", err, test.want)
			}
			if len(f.got) != 1 {
				t.Errorf("requests: %+v, want one", f.got)
			}
		})
	}
}

func TestRevokeOfAProviderThatIsAway(t *testing.T) {
	for _, preset := range PresetNames() {
		f := newFakeProvider(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		if err := f.at(t, preset).Revoke(t.Context(), NewBase(), NewSecret("access"), Secret{}); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: Revoke() = %v, want ErrUnavailable", preset, err)
		}
	}
	refused := newFakeProvider(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"error":"bad_refresh_token","error_description":"no the refresh token"}`)
	})
	err := refused.at(t, "github").Revoke(t.Context(), NewBase(), Secret{}, NewSecret("the refresh token"))
	if !IsDead(err) || strings.Contains(err.Error(), "the refresh token") || len(refused.got) != 1 {
		t.Errorf("Revoke() = %v after %+v, want one renewal whose refusal hides the token", err, refused.got)
	}
}

// The secrets of a self-hosted service stay away from the public one.
func TestMergeLeavesTheRevocationOfAnotherServer(t *testing.T) {
	preset, _ := Preset("github")
	const own = "https://git.example/api/v3/applications/{client_id}/grant"
	for name, test := range map[string]struct{ tokenURL, revocationURL, want string }{
		"the preset's server":                 {"", "", preset.RevocationURL},
		"the preset's server by its URL":      {preset.TokenURL, "", preset.RevocationURL},
		"another server":                      {"https://git.example/login/oauth/access_token", "", ""},
		"another server with a URL to revoke": {"https://git.example/login/oauth/access_token", own, own},
	} {
		t.Run(name, func(t *testing.T) {
			p := Provider{TokenURL: test.tokenURL, RevocationURL: test.revocationURL}
			p.Merge(preset)
			if p.RevocationURL != test.want || p.Revocation != RevocationGitHub {
				t.Errorf("revocation by %q at %q, want %q at %q", p.Revocation, p.RevocationURL, RevocationGitHub, test.want)
			}
		})
	}
}
