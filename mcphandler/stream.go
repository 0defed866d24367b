package mcphandler

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

const (
	// keepAlive is how often a stream that has nothing to say says so: proxies
	// and clients give up connections that are silent for a minute.
	keepAlive = 15 * time.Second
	// writeTimeout is how long a client may take to read what is written to a
	// stream. After that it counts as gone.
	writeTimeout = 10 * time.Second
	// closingRest is how long a tool has to answer when the server is about to
	// stop. After that its context ends.
	closingRest = time.Second
)

// Causes of the end of a call's context, see [context.Cause].
var (
	// ErrClosing ends a call that streams when the server is about to stop and
	// the tool has not answered within a second.
	ErrClosing = errors.New("the server is about to stop")

	errClientGone = errors.New("the client does not read its stream")
	errCancelled  = errors.New("the client cancelled the call")
)

// stream is the answer to one tools/call as server-sent events (MCP, Streamable
// HTTP). It begins with the first report of progress: a call that makes none is
// answered in JSON.
//
// Events have no ids: no revision obliges the server to keep what it sent, and a
// client that sees an id tries to take up the stream again by GET.
type stream struct {
	handler *Handler
	w       http.ResponseWriter
	control *http.ResponseController
	http    *http.Request
	request *request

	ctx context.Context // of the call
	end context.CancelCauseFunc

	mu    sync.Mutex
	begun bool
	over  bool      // nothing is written any more
	key   streamKey // that the client can cancel it by
	done  float64
	at    time.Time     // of the last report
	left  chan struct{} // closed when watch has returned, if begun
}

// newStream returns the stream of a request, or nil when the client did not ask
// for progress or does not read streams.
func (h *Handler) newStream(w http.ResponseWriter, r *http.Request, req *request) *stream {
	if req.msg.params.meta.progressToken == nil || req.msg.method != "tools/call" || !acceptsStream(r.Header["Accept"]) {
		return nil
	}
	s := &stream{handler: h, w: w, http: r, request: req}
	s.ctx, s.end = context.WithCancelCause(r.Context())
	return s
}

// progress implements [Call.Progress].
func (s *stream) progress(p Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.handler.cfg.Now()
	if s.over || s.begun && now.Sub(s.at) < progressRest {
		return
	}
	done, more := p.next(s.done)
	if !more {
		return
	}
	s.done, s.at = done, now
	s.begin()
	s.event(p.notification(s.request.msg.params.meta.progressToken, done))
}

// begin writes the header, once. What a proxy must know of a stream is in it:
// not to hold it back, nor to compress it.
func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun, s.key, s.left = true, keyOf(s.request, s.request.msg.id), make(chan struct{})
	s.control = http.NewResponseController(s.w)
	// A limit on reading the request, which is read, would end its context.
	_ = s.control.SetReadDeadline(time.Time{})
	header := s.w.Header()
	header.Set("Content-Type", mediaEvents)
	header.Set("Cache-Control", "no-store, no-transform")
	header.Set("X-Accel-Buffering", "no")
	s.w.WriteHeader(http.StatusOK)
	s.handler.streams.add(s)
	go s.watch()
}

// event writes one message, which is one line of JSON.
func (s *stream) event(message []byte) {
	b := append(make([]byte, 0, len(message)+32), "event: message\ndata: "...)
	s.write(append(append(b, message...), "\n\n"...))
}

// write writes b, within the time that a client has for reading it: one that
// stopped reading would keep the tool, and in the end the exit of the process.
// Where deadlines cannot be set, the connection has its own.
func (s *stream) write(b []byte) {
	_ = s.control.SetWriteDeadline(time.Now().Add(s.patience()))
	_, err := s.w.Write(b)
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.over = true
		s.end(errClientGone)
	}
}

// patience is how long the client may take to read.
func (s *stream) patience() time.Duration {
	select {
	case <-s.handler.cfg.Closing:
		return closingRest
	default:
		return writeTimeout
	}
}

// watch keeps the stream alive, and ends the call when it must not go on. It
// returns when the context of the call ends.
func (s *stream) watch() {
	defer close(s.left)
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	closing := s.handler.cfg.Closing
	var late <-chan time.Time
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.comment()
			s.checkToken()
		case <-closing:
			closing, late = nil, time.After(closingRest)
		case <-late:
			s.interrupt()
			s.end(ErrClosing)
		}
	}
}

// interrupt ends a write that a client which does not read holds up.
func (s *stream) interrupt() {
	if s.mu.TryLock() {
		s.mu.Unlock()
		return
	}
	_ = s.control.SetWriteDeadline(time.Now())
}

// comment writes what clients skip (HTML, server-sent events). While something
// else is being written there is no need to.
func (s *stream) comment() {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if !s.over {
		s.write([]byte(": waiting\n\n"))
	}
}

// checkToken ends the call when the token that it was made with was revoked. A
// token whose time is over was good for the call all the same.
func (s *stream) checkToken() {
	cfg, expiry := &s.handler.cfg, s.request.caller.Expiry
	if !expiry.IsZero() && !cfg.Now().Before(expiry) {
		return
	}
	_, err := cfg.Authenticator.Authenticate(s.http.WithContext(s.ctx))
	if errors.Is(err, ErrInvalidToken) {
		s.end(err)
	}
}

// finish writes the response as the last message; false if the stream has not
// begun. From then on nothing is written, and neither the response nor the
// request is touched.
func (s *stream) finish(a answer) bool {
	s.mu.Lock()
	if s.begun && !s.over && !errors.Is(context.Cause(s.ctx), errCancelled) {
		s.event(a.body)
	}
	s.over = true
	begun := s.begun
	s.mu.Unlock()
	s.end(nil)
	if !begun {
		return false
	}
	s.handler.streams.remove(s)
	<-s.left
	_ = s.control.SetWriteDeadline(time.Time{}) // the connection goes on
	return true
}
