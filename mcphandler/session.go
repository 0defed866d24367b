package mcphandler

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
)

// session is what a session id says, once its seal is broken. The user, the
// client and the endpoint are not in it: they are what it is sealed for, so
// that to anyone else it is not an id at all.
type session struct {
	id        [16]byte // random
	name      string   // id as EndedSessions knows it; of an opened session alone
	expires   time.Time
	revision  revision
	opensURLs bool
}

const (
	sessionPurpose = "mcp session"
	sessionFormat  = 1
	// sessionSize is format, id, expiry, capability bits and revision.
	sessionSize = 1 + 16 + 8 + 1 + len(newestHandshake)

	flagOpensURLs = 1 << 0
)

// maxSessionHeader bounds what is decoded; a session id has about 120 bytes.
const maxSessionHeader = 1024

func (s *session) marshal() []byte {
	b := append(make([]byte, 0, sessionSize), sessionFormat)
	b = append(b, s.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.expires.Unix()))
	var flags byte
	if s.opensURLs {
		flags |= flagOpensURLs
	}
	return append(append(b, flags), s.revision...)
}

func (s *session) unmarshal(b []byte) error {
	if len(b) != sessionSize || b[0] != sessionFormat {
		return errors.New("session record of another format")
	}
	copy(s.id[:], b[1:17])
	s.name = hex.EncodeToString(s.id[:])
	s.expires = time.Unix(int64(binary.BigEndian.Uint64(b[17:25])), 0)
	s.opensURLs = b[25]&flagOpensURLs != 0
	s.revision = revision(b[26:])
	if !isHandshake(string(s.revision)) {
		return errors.New("session record of another revision")
	}
	return nil
}

// binding is the associated data of a record: what it is for, and everything
// that it is bound to, with lengths so that no two lists look the same.
func binding(purpose string, parts ...string) []byte {
	ad := append([]byte("alter-mcp "), purpose...)
	ad = append(ad, 0)
	for _, part := range parts {
		ad = binary.AppendUvarint(ad, uint64(len(part)))
		ad = append(ad, part...)
	}
	return ad
}

func (req *request) sessionBinding() []byte {
	return binding(sessionPurpose, req.endpoint, req.caller.UserID, req.caller.ClientID)
}

// newSession returns the id of a new session, in visible ASCII.
func (h *Handler) newSession(req *request, s session) (string, error) {
	if _, err := io.ReadFull(h.cfg.Random, s.id[:]); err != nil {
		return "", fmt.Errorf("drawing a session id: %w", err)
	}
	s.expires = h.cfg.Now().Add(h.cfg.SessionLifetime)
	sealed, err := h.cfg.Sealer.Seal(s.marshal(), req.sessionBinding())
	if err != nil {
		return "", fmt.Errorf("sealing a session id: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

func sessionHeader(header http.Header) string {
	return strings.Join(header["Mcp-Session-Id"], ", ")
}

// openSession returns the living session that id names for the caller. Unknown,
// foreign, expired and ended look the same from outside: 404, upon which a
// client begins anew.
func (h *Handler) openSession(ctx context.Context, req *request, id string) (*session, *failure) {
	s, ok := h.unsealSession(req, id)
	if !ok || !h.cfg.Now().Before(s.expires) {
		return nil, unknownSession()
	}
	ended, err := h.cfg.Sessions.SessionEnded(ctx, s.name)
	if err != nil {
		h.logger.Warn("session not checked", zap.Error(err))
		return nil, unavailableFailure("sessions cannot be checked at the moment")
	}
	if ended {
		return nil, unknownSession()
	}
	return s, nil
}

// maxOpened bounds how many opened sessions are kept: they are some 400 bytes
// each.
const maxOpened = 1 << 10

// openedKey is a session id with all that it is sealed for.
type openedKey struct{ id, endpoint, user, client string }

// unsealSession opens a session id. What was opened is kept, for opening one
// costs as much as to verify the access token of the same request; whether it
// has expired or ended is asked each time.
func (h *Handler) unsealSession(req *request, id string) (*session, bool) {
	key := openedKey{id: id, endpoint: req.endpoint, user: req.caller.UserID, client: req.caller.ClientID}
	if s, ok := h.opened.Get(key); ok {
		return s, true
	}
	s, ok := h.unseal(req, id)
	if ok {
		key.id = strings.Clone(id) // not a part of the request's whole header
		h.opened.Add(key, s)
	}
	return s, ok
}

func (h *Handler) unseal(req *request, id string) (*session, bool) {
	if len(id) > maxSessionHeader {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil {
		return nil, false
	}
	plain, err := h.cfg.Sealer.Open(sealed, req.sessionBinding())
	if err != nil {
		return nil, false
	}
	s := new(session)
	return s, s.unmarshal(plain) == nil
}

func unknownSession() *failure {
	return &failure{status: http.StatusNotFound, code: codeInvalidRequest, message: "session not found"}
}

// endSession answers DELETE: the session is gone once the client hears of it, on
// other nodes about a second later.
func (h *Handler) endSession(w http.ResponseWriter, r *http.Request, caller *Caller) {
	id := sessionHeader(r.Header)
	if version := versionHeader(r.Header); version != "" && !isHandshake(version) {
		methodNotAllowed(w) // the stateless revision has no sessions
		return
	}
	if id == "" {
		refuse(w, invalidRequest("the Mcp-Session-Id header is missing"))
		return
	}
	req := request{header: r.Header, caller: caller, endpoint: h.cfg.Endpoint(r)}
	s, f := h.openSession(r.Context(), &req, id)
	if f != nil {
		refuse(w, f)
		return
	}
	if err := h.cfg.Sessions.EndSession(r.Context(), s.name, s.expires); err != nil {
		h.logger.Warn("session not ended", zap.Error(err))
		unavailable(w, nil, "sessions cannot be ended at the moment")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// noStream answers GET and whatever else there may be. There is nothing yet that
// a stream of its own would carry; but to a session that is not the caller's the
// answer is the same as everywhere.
func (h *Handler) noStream(w http.ResponseWriter, r *http.Request, caller *Caller) {
	id := sessionHeader(r.Header)
	if version := versionHeader(r.Header); id != "" && (version == "" || isHandshake(version)) {
		req := request{header: r.Header, caller: caller, endpoint: h.cfg.Endpoint(r)}
		if _, f := h.openSession(r.Context(), &req, id); f != nil {
			refuse(w, f)
			return
		}
	}
	methodNotAllowed(w)
}

func methodNotAllowed(w http.ResponseWriter) {
	w.Header().Set("Allow", allowedMethods)
	refuse(w, &failure{
		status: http.StatusMethodNotAllowed, code: codeInvalidRequest, message: "method not allowed",
	})
}
