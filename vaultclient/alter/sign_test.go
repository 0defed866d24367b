package alter

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// The vectors were made by the Python SDK's own signer.
func TestSignVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/hmac-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name       string            `json:"name"`
		APIKey     string            `json:"api_key"`
		Method     string            `json:"method"`
		Path       string            `json:"path"`
		Body       string            `json:"body"`
		Caller     *string           `json:"caller"`
		CallerType *string           `json:"caller_type"`
		Actor      map[string]string `json:"actor_headers"`
		Timestamp  int64             `json:"timestamp"`
		Nonce      string            `json:"nonce"`
		Headers    map[string]string `json:"headers"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 8 {
		t.Fatalf("%d vectors, want 8", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			h := http.Header{}
			if v.Caller != nil {
				Caller{Name: *v.Caller, Type: CallerType(*v.CallerType)}.set(h)
			}
			for name, value := range v.Actor {
				h.Set(name, value)
			}
			for _, name := range []string{headerConstraints, headerRule} {
				for k, value := range v.Headers {
					if strings.EqualFold(k, name) {
						h.Set(name, value)
					}
				}
			}
			path, query, _ := strings.Cut(v.Path, "?")
			newSigner(v.APIKey).sign(h, v.Method, path, query, []byte(v.Body), time.Unix(v.Timestamp, 0), v.Nonce)
			for name, want := range v.Headers {
				if got := h.Get(name); got != want {
					t.Errorf("%s: got %s, want %s", name, got, want)
				}
			}
			if _, ok := v.Headers["X-Alter-Signature-V2"]; !ok && h.Get(headerSignatureV2) != "" {
				t.Error("a second signature, though nobody is named")
			}
		})
	}
}
