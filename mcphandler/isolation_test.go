package mcphandler

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestCallersSeeOnlyTheirOwn has 200 people call at once over shared
// connections, in both eras and with the same ids; each then tries the next
// one's session. Security ISO-01, MCP-03, SESS-02.
func TestCallersSeeOnlyTheirOwn(t *testing.T) {
	const people, rounds = 200, 5
	f := newFixture(t, func(cfg *Config) { cfg.Record = nil })
	server := httptest.NewServer(f.handler)
	defer server.Close()
	client := server.Client()

	sessions := make([]string, people)
	everyone(people, func(i int) {
		response := exchange(t, client, server.URL, map[string]string{"Authorization": fmt.Sprintf("Bearer p%d", i)},
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
		sessions[i] = response.session
	})
	everyone(people, func(i int) {
		name := fmt.Sprintf("p%d", i)
		want := fmt.Sprintf(`u-p%d {\"n\":\"p%d\"}"`, i, i)
		legacy := map[string]string{"Authorization": "Bearer " + name, "Mcp-Session-Id": sessions[i]}
		for range rounds {
			modern := exchange(t, client, server.URL, modernFields(name, "tools/call", "echo"), modernCall("echo", `{"n":"`+name+`"}`))
			old := exchange(t, client, server.URL, legacy,
				`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"n":"`+name+`"}}}`)
			if !strings.Contains(modern.body, want) || !strings.Contains(old.body, want) {
				t.Errorf("%s got %s and %s, want %s in both", name, modern.body, old.body, want)
			}
		}
		legacy["Mcp-Session-Id"] = sessions[(i+1)%people]
		if foreign := exchange(t, client, server.URL, legacy, ping); foreign.status != http.StatusNotFound {
			t.Errorf("%s in another's session: status %d, want 404", name, foreign.status)
		}
	})
}

// everyone runs do for all at once.
func everyone(people int, do func(i int)) {
	var wg sync.WaitGroup
	for i := range people {
		wg.Go(func() { do(i) })
	}
	wg.Wait()
}

type exchanged struct {
	status        int
	session, body string
}

func exchange(t *testing.T, client *http.Client, url string, fields map[string]string, body string) exchanged {
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return exchanged{}
	}
	r.Header.Set("Content-Type", "application/json")
	for name, value := range fields {
		r.Header.Set(name, value)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return exchanged{}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return exchanged{response.StatusCode, response.Header.Get("Mcp-Session-Id"), string(answer)}
}
