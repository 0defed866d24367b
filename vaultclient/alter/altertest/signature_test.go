package altertest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// vector is a call that alter-sdk 0.29.0 signed by itself.
type vector struct {
	Name         string
	APIKey       string `json:"api_key"`
	Method       string
	Path         string
	Body         string
	Caller       *string
	CallerType   *string           `json:"caller_type"`
	ActorHeaders map[string]string `json:"actor_headers"`
	Timestamp    int64
	Headers      map[string]string
}

func (x vector) request() *http.Request {
	r := httptest.NewRequest(x.Method, x.Path, bytes.NewBufferString(x.Body))
	r.Header.Set("X-Api-Key", x.APIKey)
	for _, headers := range []map[string]string{x.Headers, x.ActorHeaders} {
		for name, value := range headers {
			r.Header.Set(name, value)
		}
	}
	if x.Caller != nil {
		r.Header.Set("X-Alter-Caller", *x.Caller)
		r.Header.Set("X-Alter-Caller-Type", *x.CallerType)
	}
	return r
}

func vectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/hmac-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 8 {
		t.Fatalf("%d vectors, want 8", len(all))
	}
	return all
}

func vaultAt(t *testing.T, unix int64) *Vault {
	t.Helper()
	v, err := New(Config{BaseURL: "http://127.0.0.1:1", Now: func() time.Time { return time.Unix(unix, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSignaturesOfTheRealClient(t *testing.T) {
	for _, x := range vectors(t) {
		t.Run(x.Name, func(t *testing.T) {
			v := vaultAt(t, x.Timestamp)
			if bad := v.checkSignature(x.request(), []byte(x.Body)); bad != nil {
				t.Errorf("refused: %s: %s", bad.code, bad.message)
			}
			if bad := v.checkSignature(x.request(), []byte(x.Body)); bad == nil || bad.code != "nonce_replayed" {
				t.Errorf("a second time: %+v, want nonce_replayed", bad)
			}
		})
	}
}

// Every header that is sent counts: each one changed or missing is refused.
func TestTamperedHeaders(t *testing.T) {
	for _, x := range vectors(t) {
		sent := x.request().Header
		for name := range sent {
			for change, apply := range map[string]func(http.Header){
				"missing": func(h http.Header) { h.Del(name) },
				"changed": func(h http.Header) { h.Set(name, flip(h.Get(name))) },
				"twice":   func(h http.Header) { h.Add(name, h.Get(name)) },
			} {
				t.Run(x.Name+"/"+name+" "+change, func(t *testing.T) {
					v := vaultAt(t, x.Timestamp)
					r := x.request()
					apply(r.Header)
					if bad := v.checkSignature(r, []byte(x.Body)); bad == nil || !bad.breach {
						t.Errorf("%+v, want a violation", bad)
					}
				})
			}
		}
	}
}

// flip changes the last character.
func flip(s string) string {
	last := byte('0')
	if s[len(s)-1] == '0' {
		last = '1'
	}
	return s[:len(s)-1] + string(last)
}

func TestClockWindow(t *testing.T) {
	x := vectors(t)[0]
	for _, test := range []struct {
		name string
		off  int64
		ok   bool
	}{
		{"in time", 0, true},
		{"five minutes late", 300, true},
		{"five minutes early", -300, true},
		{"too late", 302, false},
		{"too early", -302, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := vaultAt(t, x.Timestamp+test.off)
			bad := v.checkSignature(x.request(), []byte(x.Body))
			if (bad == nil) != test.ok {
				t.Errorf("%+v, accepted should be %v", bad, test.ok)
			}
		})
	}
}
