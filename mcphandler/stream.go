package mcphandler

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// keepAlive is how often a stream that has nothing to say says so: proxies
	// and clients give up connections that are silent for a minute.
	keepAlive = 15 * time.Second
	// progressRest is the least time between two messages about progress.
	progressRest = 100 * time.Millisecond
)

// stream is the answer to one request as server-sent events (MCP, Streamable
// HTTP). It begins with the first message about progress; a request that makes
// none is answered by JSON.
type stream struct {
	w     http.ResponseWriter
	token json.RawMessage // the client's progressToken
	now   func() time.Time

	mu    sync.Mutex
	begun bool
	over  bool          // the tool has returned
	ended chan struct{} // closed then, if begun
	count int
	last  time.Time
}

// newStream returns the stream of a request, or nil when the client did not ask
// for progress, or reads none.
func (h *Handler) newStream(w http.ResponseWriter, req *request) *stream {
	token := req.msg.params.meta.progressToken
	if token == nil || req.msg.method != "tools/call" || !acceptsStream(req.header["Accept"]) {
		return nil
	}
	return &stream{w: w, token: token, now: h.cfg.Now}
}

// progress tells the client how far a call is. Messages that follow each other
// too fast are left out.
func (s *stream) progress(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.over || s.count > 0 && now.Sub(s.last) < progressRest {
		return
	}
	s.last = now
	s.count++
	s.begin()
	b := append([]byte(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":`), s.token...)
	b = strconv.AppendInt(append(b, `,"progress":`...), int64(s.count), 10)
	b = appendJSON(append(b, `,"message":`...), message)
	s.event(append(b, "}}"...))
}

// begin writes the header, once.
func (s *stream) begin() {
	if s.begun {
		return
	}
	s.begun, s.ended = true, make(chan struct{})
	header := s.w.Header()
	header.Set("Content-Type", mediaEvents)
	header.Set("X-Accel-Buffering", "no") // for an nginx in front
	s.w.WriteHeader(http.StatusOK)
	go s.keepAlive()
}

// event writes one message. It is one line of JSON. An error of writing means
// that the client has gone, which ends the call by its context.
func (s *stream) event(message []byte) {
	b := append([]byte("event: message\ndata: "), message...)
	_, _ = s.w.Write(append(b, "\n\n"...))
	_ = http.NewResponseController(s.w).Flush()
}

func (s *stream) keepAlive() {
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		if !s.over {
			_, _ = s.w.Write([]byte(": waiting\n\n"))
			_ = http.NewResponseController(s.w).Flush()
		}
		s.mu.Unlock()
	}
}

// finish writes the response as the last message; false if the stream has not
// begun. After that nothing is written any more.
func (s *stream) finish(a answer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if !s.begun {
		return false
	}
	close(s.ended)
	s.event(a.body)
	return true
}
