package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Variable is the environment variable that tells the command xdg-open of this
// module where the desk listens.
const Variable = "E2E_BROWSER"

// Desk stands for a person's desktop: programs ask it, by the command xdg-open,
// to open an address in the person's browser.
type Desk struct {
	// URL is the value for [Variable].
	URL string
	// Stops gives the end of each way, in the order in which they ended.
	Stops <-chan Opened

	server *http.Server
	cancel context.CancelFunc
	open   sync.WaitGroup
}

// Opened is how one request to open an address went.
type Opened struct {
	Address string
	Stop    *Stop
	Err     error
}

// NewDesk starts a desk for a browser. Close it after use.
func NewDesk(b *Browser) (*Desk, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for addresses to open: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stops := make(chan Opened, 16)
	d := &Desk{URL: "http://" + ln.Addr().String() + "/", Stops: stops, cancel: cancel}
	d.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := r.PostFormValue("url")
		// Like a real one, xdg-open returns before the page is there.
		d.open.Go(func() {
			stop, err := b.Open(ctx, address, Visit{})
			select {
			case stops <- Opened{address, stop, err}:
			case <-ctx.Done():
			}
		})
		w.WriteHeader(http.StatusNoContent)
	})}
	go d.server.Serve(ln) //nolint:errcheck // it ends with Close
	return d, nil
}

// Close ends all that is still open.
func (d *Desk) Close() {
	d.cancel()
	_ = d.server.Close()
	d.open.Wait()
}
