package browser_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
)

// TestOpenLateClient leads to a client that begins to listen a while after the
// redirect to it.
func TestOpenLateClient(t *testing.T) {
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := reserved.Addr().String()
	reserved.Close()
	client := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	ended := make(chan error, 1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.AfterFunc(100*time.Millisecond, func() {
			ln, err := net.Listen("tcp", address)
			if err != nil {
				ended <- err
				return
			}
			ended <- client.Serve(ln)
		})
		http.Redirect(w, r, "http://"+address+"/callback", http.StatusFound)
	}))
	t.Cleanup(site.Close)
	b, err := browser.New(browser.Person{}, site.URL)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := b.Open(t.Context(), site.URL, browser.Visit{})
	if err != nil || !stop.Client || stop.Page.Status != http.StatusOK {
		t.Errorf("way ended at %+v: %v, want the client's page", stop, err)
	}
	client.Close()
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("client ended with %v", err)
	}
}
