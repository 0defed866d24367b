package mcphandler

import (
	"context"
	"encoding/json"
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

// TestFloodOfOnePerson: who has as many requests under way as one person may have
// is refused more, and others are not; when one ends, the next goes through.
// Security ABUSE-06.
func TestFloodOfOnePerson(t *testing.T) {
	const most = 3
	waiting, goOn := make(chan struct{}), make(chan struct{})
	held, err := NewStaticSource([]Tool{&fakeTool{
		Description: Description{Name: "held", InputSchema: json.RawMessage(anyObject)},
		call: func(context.Context, *Call) (*Result, error) {
			waiting <- struct{}{}
			<-goOn
			return TextResult("done"), nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(cfg *Config) { cfg.MaxRequests, cfg.Sources = most, append(cfg.Sources, held) })
	call := func(name string) *httptest.ResponseRecorder {
		return f.serve("POST", modernFields(name, "tools/call", "held"), modernCall("held", "{}"))
	}
	var served sync.WaitGroup
	for range most {
		served.Go(func() {
			if w := call("alice"); w.Code != http.StatusOK {
				t.Errorf("call = %d %s, want 200", w.Code, w.Body)
			}
		})
	}
	for range most {
		<-waiting
	}
	for what, w := range map[string]*httptest.ResponseRecorder{
		"a call":      call("alice"),
		"a GET":       f.serve("GET", map[string]string{"Authorization": "Bearer alice"}, ""),
		"a long body": f.serve("POST", modernFields("alice", "ping", ""), strings.Repeat(" ", 1<<20)),
	} {
		if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || errorCode(t, w.Body.Bytes()) == 0 {
			t.Errorf("%s above the limit = %d, Retry-After %q, %s; want 429", what, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
	if w := f.serve("POST", modernFields("bob", "tools/call", "echo"), modernCall("echo", "{}")); w.Code != http.StatusOK {
		t.Errorf("another person's call = %d %s, want 200", w.Code, w.Body)
	}
	close(goOn)
	served.Wait()
	if w := f.serve("POST", modernFields("alice", "tools/call", "echo"), modernCall("echo", "{}")); w.Code != http.StatusOK {
		t.Errorf("call after the others = %d %s, want 200", w.Code, w.Body)
	}
	if n := len(f.handler.busy.count); n != 0 {
		t.Errorf("%d people are counted when nothing is under way", n)
	}
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
