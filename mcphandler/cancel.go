package mcphandler

import (
	"encoding/json"
	"sync"
)

// streamKey tells a call that streams from all others of a node, as the client
// that cancels it does. The zero value is of a call that cannot be cancelled.
type streamKey struct {
	user, client, session, id string
}

// keyOf returns the key of the request id of req's session. Without a session,
// two clients that share a registration may use the same id, and neither may
// cancel the other's call.
func keyOf(req *request, id json.RawMessage) streamKey {
	session := sessionHeader(req.header)
	if session == "" || req.isModern() {
		return streamKey{}
	}
	return streamKey{req.caller.UserID, req.caller.ClientID, session, string(id)}
}

// streams are the streams that are open on this node.
type streams struct {
	mu   sync.Mutex
	open map[streamKey]*stream
}

func newStreams() *streams { return &streams{open: make(map[streamKey]*stream)} }

func (o *streams) add(s *stream) {
	if s.key == (streamKey{}) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[s.key] = s
}

func (o *streams) remove(s *stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[s.key] == s {
		delete(o.open, s.key)
	}
}

// cancel ends the call that a notifications/cancelled of a revision with
// handshake names, if it streams and is served by this node. In the stateless
// revision a client closes the stream.
func (o *streams) cancel(req *request) {
	id := req.msg.params.requestID
	key := keyOf(req, id)
	if id == nil || !isID(id) || key == (streamKey{}) {
		return
	}
	o.mu.Lock()
	s := o.open[key]
	o.mu.Unlock()
	if s != nil {
		s.end(errCancelled)
	}
}
