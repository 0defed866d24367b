package client

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
)

// Servers close connections that nobody uses for a while, as between rounds.
func TestConnSurvivesAServerThatClosesKeptConnections(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn := NewConn(at, nil)
	defer conn.Close()
	for range 3 {
		if reply, err := conn.Do(http.MethodPost, "/", nil, []byte("x")); err != nil || reply.Status != http.StatusOK {
			t.Fatalf("%+v, %v", reply, err)
		}
		server.CloseClientConnections()
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("3 requests were answered %d times", n)
	}
}
