package demo

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultMessages = 20
	maxMessages     = 50
)

type inbox struct {
	Mailbox  string    `json:"mailbox"`
	Messages []message `json:"messages"` // newest first
}

type profile struct {
	Mailbox string `json:"mailbox"`
	Name    string `json:"name"`
}

// bearer lets a request through whose access token has the scope, "" for any
// (RFC 6750).
func (p *Provider) bearer(scope string, next func(http.ResponseWriter, *http.Request, mailbox)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="postbox"`)
			writeJSON(w, http.StatusUnauthorized, problem{"invalid_token", "an access token is needed"})
			return
		}
		granted, ok := p.grants.check(token)
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="postbox", error="invalid_token"`)
			writeJSON(w, http.StatusUnauthorized, problem{"invalid_token", "the access token is unknown, too old or revoked"})
			return
		}
		if scope != "" && !slices.Contains(granted.scopes, scope) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="postbox", error="insufficient_scope", scope="`+scope+`"`)
			writeJSON(w, http.StatusForbidden, problem{"insufficient_scope", "the access token lacks " + scope})
			return
		}
		next(w, r, granted.grant.mailbox)
	}
}

// serveMessages serves GET /api/messages: the newest of the mailbox, up to limit
// (1 to 50, default 20), that hold q in any letter case.
func (p *Provider) serveMessages(w http.ResponseWriter, r *http.Request, box mailbox) {
	limit := defaultMessages
	if text := r.FormValue("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxMessages {
			writeJSON(w, http.StatusBadRequest, problem{"invalid_request", "limit is a number from 1 to 50"})
			return
		}
	}
	q := strings.ToLower(r.FormValue("q"))
	answer := inbox{Mailbox: box.Address, Messages: []message{}}
	now := p.opts.Now().UTC()
	for _, m := range messagesOf(box.Address) {
		if len(answer.Messages) == limit {
			break
		}
		if strings.Contains(strings.ToLower(m.From+"\n"+m.Subject+"\n"+m.Snippet), q) {
			m.Date = now.Add(-m.age).Truncate(time.Minute).Format(time.RFC3339)
			answer.Messages = append(answer.Messages, m)
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

// serveProfile serves GET /api/profile.
func (p *Provider) serveProfile(w http.ResponseWriter, _ *http.Request, box mailbox) {
	writeJSON(w, http.StatusOK, profile{Mailbox: box.Address, Name: box.Name})
}
