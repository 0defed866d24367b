package alter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// zeros is a body of so many bytes whose length nobody knows, or that says it.
func zeros(t *testing.T, url string, n int64, known bool) *http.Request {
	t.Helper()
	body := io.NopCloser(io.LimitReader(zeroReader{}, n))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if known {
		req.ContentLength = n
	}
	return req
}

// zeroReader is a source of zeros without an end.
type zeroReader struct{}

// Read implements io.Reader.
func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A full record does not stand in the way of a large body: it is sent as it
// comes, and only counted.
func TestLargeBodiesUnderFullAudit(t *testing.T) {
	const size = 12 << 20
	for name, c := range map[string]struct {
		known bool
		want  string
	}{
		"of a known length":    {true, fmt.Sprintf("<binary body: %d bytes>", size)},
		"of an unknown length": {false, "<binary body: more than 10000 bytes>"},
	} {
		t.Run(name, func(t *testing.T) {
			var got, length int64
			provider := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, _ = io.Copy(io.Discard, r.Body)
				length = r.ContentLength
			}))
			defer provider.Close()
			records := recorded(t, AuditFull, func(f *flow, client *Client) {
				status, _, err := answerOf(client.Do(zeros(t, provider.URL, size, c.known), f.use("alice")))
				if status != http.StatusOK || err != nil {
					t.Fatalf("%d, %v", status, err)
				}
			})
			if got != size || (length == size) != c.known {
				t.Errorf("the provider got %d bytes, told %d", got, length)
			}
			if records[0]["request_body"] != c.want {
				t.Errorf("recorded %v", records[0]["request_body"])
			}
		})
	}
}

// A signature needs the whole body, so that one is bounded.
func TestLargeBodiesOfAWS(t *testing.T) {
	grant := altertest.Grant{Person: "alice", Provider: "google", Injection: altertest.Injection{
		InjectFormat: awsFormat, Additional: map[string]string{"secret_key": "s", "region": "eu-west-1", "service": "x"},
	}}
	f := newFlow(t, Config{}, grant)
	for size, fits := range map[int64]bool{maxSignedBody: true, maxSignedBody + 1: false} {
		status, _, err := answerOf(f.client.Do(zeros(t, newEchoServer(t), size, false), f.use("alice")))
		if fits && (err != nil || status != http.StatusOK) {
			t.Errorf("%d bytes: %d, %v", size, status, err)
		}
		if !fits {
			mustBe(t, err, ErrInvalid)
		}
	}
}

func TestUserAgent(t *testing.T) {
	var got []string
	provider := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Values("User-Agent") }))
	defer provider.Close()
	f := newFlow(t, Config{UserAgent: "ours"})
	for name, c := range map[string]struct {
		header http.Header
		want   string
	}{
		"of the client":          {nil, "[ours]"},
		"of the caller":          {http.Header{"User-Agent": {"theirs"}}, "[theirs]"},
		"none, if so wished":     {http.Header{"User-Agent": {""}}, "[]"},
		"in another letter case": {http.Header{"user-agent": {"theirs"}}, "[theirs]"},
	} {
		req := &http.Request{URL: mustURL(t, provider.URL), Header: c.header}
		if status, _, err := answerOf(f.client.Do(req.WithContext(t.Context()), f.use("alice"))); status != http.StatusOK || err != nil {
			t.Fatalf("%s: %d, %v", name, status, err)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Several fields of challenges are read, and reported, as one list (RFC 9110
// section 5.3).
func TestScopeReportOfSeveralFields(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Www-Authenticate"] = []string{`Basic realm="a, b"`, `Bearer error="insufficient_scope", scope="x y"`}
		w.WriteHeader(http.StatusForbidden)
	}))
	defer provider.Close()
	f := newFlow(t, Config{})
	req := &http.Request{URL: mustURL(t, provider.URL+"/a?secret=q")}
	_, err := f.client.Do(req.WithContext(t.Context()), f.use("alice"))
	if e := mustBe(t, err, ErrScopesMissing); fmt.Sprint(e.Missing) != "[x y]" {
		t.Errorf("missing %q", e.Missing)
	}
	f.client.Close()
	calls := f.Calls()
	var body map[string]any
	if err := json.NewDecoder(bytes.NewReader(calls[len(calls)-1].Body)).Decode(&body); err != nil {
		t.Fatal(err)
	}
	if want := `Basic realm="a, b", Bearer error="insufficient_scope", scope="x y"`; body["raw_www_authenticate"] != want {
		t.Errorf("reported %v", body["raw_www_authenticate"])
	}
	if text := fmt.Sprint(body["api_endpoint"]); strings.Contains(text, "secret") || text != provider.URL+"/a" {
		t.Errorf("reported %s", text)
	}
}
