package altertest

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Start runs a fake vault on loopback until the test ends, and fails the test
// for every violation that TakeViolations did not take.
func Start(t testing.TB, config Config) *Vault {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	config.BaseURL = "http://" + server.Listener.Addr().String()
	v, err := New(config)
	if err != nil {
		_ = server.Listener.Close()
		t.Fatalf("starting the fake vault: %v", err)
	}
	server.Config = v.server()
	server.Listener = listener{server.Listener}
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		for _, x := range v.Violations() {
			t.Errorf("the vault's protocol was violated: %v", x)
		}
	})
	return v
}

// Serve serves the fake until the context ends.
func (v *Vault) Serve(ctx context.Context, l net.Listener) error {
	server := v.server()
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err := server.Serve(listener{l})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (v *Vault) server() *http.Server {
	return &http.Server{
		Handler:           v,
		ReadHeaderTimeout: 10 * time.Second,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
	}
}

type connKey struct{}

// listener lets its connections keep what they read: net/http tells neither the
// order of headers nor their spelling.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

type conn struct {
	net.Conn
	mu   sync.Mutex
	read []byte
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.read = append(c.read, p[:n]...)
	c.mu.Unlock()
	return n, err
}

// head returns the header lines of the request that began with that line, and
// forgets all before.
func (c *conn) head(start string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := bytes.Index(c.read, []byte(start))
	if at < 0 {
		return nil
	}
	c.read = c.read[at+len(start):]
	head, rest, found := bytes.Cut(c.read, []byte("\r\n\r\n"))
	if !found {
		return nil
	}
	c.read = slices.Clone(rest)
	return strings.Split(string(head), "\r\n")
}

// headersAsSent returns the header lines of a request.
func headersAsSent(r *http.Request) []Header {
	var sent []Header
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		for _, line := range c.head(r.Method + " " + r.RequestURI + " " + r.Proto + "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			sent = append(sent, Header{name, strings.TrimSpace(value)})
		}
		return sent
	}
	for name, values := range r.Header {
		for _, value := range values {
			sent = append(sent, Header{name, value})
		}
	}
	slices.SortStableFunc(sent, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	return sent
}
