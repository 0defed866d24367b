package demo

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInboxIsOnesOwn(t *testing.T) {
	for name, other := range map[string]string{"alice": "bob", "bob": "alice"} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			token := e.connect(name + "@postbox.example").AccessToken
			e.connect(other + "@postbox.example")
			w := e.api("/api/messages", token)
			if strings.Contains(strings.ToLower(w.Body.String()), other) {
				t.Errorf("inbox of %s tells of %s: %s", name, other, w.Body)
			}
			got := read[inbox](t, w)
			if got.Mailbox != name+"@postbox.example" || len(got.Messages) < 5 {
				t.Errorf("inbox %q with %d messages", got.Mailbox, len(got.Messages))
			}
			for i := 1; i < len(got.Messages); i++ {
				if got.Messages[i-1].Date <= got.Messages[i].Date {
					t.Errorf("message %s of %s comes before %s", got.Messages[i-1].ID, got.Messages[i-1].Date, got.Messages[i].Date)
				}
			}
		})
	}
}

func TestMessages(t *testing.T) {
	for name, c := range map[string]struct {
		query string
		want  []string
	}{
		"everything":         {"", []string{"a7", "a6", "a5", "a4", "a3", "a2", "a1"}},
		"the newest two":     {"?limit=2", []string{"a7", "a6"}},
		"more than there is": {"?limit=50", []string{"a7", "a6", "a5", "a4", "a3", "a2", "a1"}},
		"word of a subject":  {"?q=INVOICE", []string{"a2"}},
		"word of a sender":   {"?q=orbit.example", []string{"a6", "a4", "a2"}},
		"search and limit":   {"?q=orbit.example&limit=1", []string{"a6"}},
		"word of nobody":     {"?q=zebra", nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			w := e.api("/api/messages"+c.query, e.connect("alice@postbox.example").AccessToken)
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"messages":[`) {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			var ids []string
			for _, m := range read[inbox](t, w).Messages {
				ids = append(ids, m.ID)
			}
			if diff := cmp.Diff(c.want, ids); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	e := newEnv(t)
	w := e.api("/api/messages?limit=1&q=gauge", e.connect("bob@postbox.example").AccessToken)
	want := `{"mailbox":"bob@postbox.example","messages":[{"id":"b6",` +
		`"from":"Erin Evans \u003cerin@kayak.example\u003e","subject":"Saturday: river is high, helmets on",` +
		`"snippet":"Bob, the gauge says 1.9 m. We start at nine at the old mill, bring dry socks.",` +
		`"date":"2026-11-23T11:20:00Z"}]}`
	if diff := cmp.Diff(want, strings.TrimSpace(w.Body.String())); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestMessagesRefuseLimit(t *testing.T) {
	e := newEnv(t)
	token := e.connect("alice@postbox.example").AccessToken
	for _, limit := range []string{"0", "51", "-1", "many"} {
		e.wantProblem(e.api("/api/messages?limit="+limit, token), http.StatusBadRequest, "invalid_request")
	}
}

func TestProfile(t *testing.T) {
	e := newEnv(t)
	token := e.connect("bob@postbox.example", "scope", "").AccessToken // the scope is then profile
	want := profile{Mailbox: "bob@postbox.example", Name: "Bob Brown"}
	if diff := cmp.Diff(want, read[profile](t, e.api("/api/profile", token))); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	w := e.api("/api/messages", token)
	e.wantProblem(w, http.StatusForbidden, "insufficient_scope")
	if got := w.Header().Get("WWW-Authenticate"); got != `Bearer realm="postbox", error="insufficient_scope", scope="messages.read"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
}

func TestBadToken(t *testing.T) {
	e := newEnv(t)
	e.connect("alice@postbox.example")
	for name, c := range map[string]struct{ header, challenge string }{
		"none":         {"", `Bearer realm="postbox"`},
		"other scheme": {"Basic YTpi", `Bearer realm="postbox"`},
		"made up":      {"Bearer x", `Bearer realm="postbox", error="invalid_token"`},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/api/messages", nil)
			r.Header.Set("Authorization", c.header)
			w := e.do(r)
			e.wantProblem(w, http.StatusUnauthorized, "invalid_token")
			if got := w.Header().Get("WWW-Authenticate"); got != c.challenge {
				t.Errorf("WWW-Authenticate %q, want %q", got, c.challenge)
			}
		})
	}
}
