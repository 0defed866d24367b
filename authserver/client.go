package authserver

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// client returns a client by id: a registered one, or, when the id is a URL,
// the one that the document there describes. [ErrNotFound] when there is none.
func (s *Server) client(r *http.Request, id string) (*Client, error) {
	if isDocumentID(id) {
		return s.documentClient(r.Context(), id, addrKey(s.cfg.ClientAddr(r)))
	}
	return s.cfg.Store.Client(r.Context(), id)
}

// tokenClient returns a client for the token endpoint and for calls. What
// counts there is that codes and refresh tokens are bound to the client's id; a
// document is not fetched again for it, so that an unreachable host cuts nobody
// off.
func (s *Server) tokenClient(ctx context.Context, id string) (*Client, error) {
	if !isDocumentID(id) {
		return s.cfg.Store.Client(ctx, id)
	}
	if c := s.documents.cached(id); c != nil {
		return c, nil
	}
	return documentStandIn(id)
}

// clientOf is tokenClient where an authorization was read already, which most
// often is of the client that is asked for. a may be nil.
func (s *Server) clientOf(ctx context.Context, a *Authorization, id string) (*Client, error) {
	if a != nil && a.Client != nil && a.Client.ID == id {
		return a.Client, nil
	}
	return s.tokenClient(ctx, id)
}

// metadata decodes what the client registered.
func (c *Client) metadata() clientMetadata {
	var m clientMetadata
	if err := json.Unmarshal(c.Metadata, &m); err != nil {
		return clientMetadata{GrantTypes: []string{grantCode}}
	}
	return m
}

// mayRefresh reports whether the client registered for refresh tokens.
func (c *Client) mayRefresh() bool { return slices.Contains(c.metadata().GrantTypes, grantRefresh) }

// displayName is what the consent page calls the client.
func (c *Client) displayName() string {
	if c.Name != "" {
		return c.Name
	}
	return "An app without a name"
}

// authenticateClient returns the client that sent a form to the token or
// revocation endpoint (RFC 6749 section 2.3.1). A public client names itself,
// also by HTTP Basic with an empty password, as real clients do. A confidential
// one may use either place for its secret: libraries try one after the other.
// find returns a client by id, or [ErrNotFound].
func (s *Server) authenticateClient(
	w http.ResponseWriter, r *http.Request, form url.Values, find func(context.Context, string) (*Client, error),
) (*Client, error) {
	id, secret, basic, err := clientCredentials(r, form)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, s.unknownClient(w, basic, "no client was named")
	}
	c, err := find(r.Context(), id)
	if errors.Is(err, ErrNotFound) {
		return nil, s.unknownClient(w, basic, "no such client; register again")
	}
	if err != nil {
		return nil, err
	}
	if c.AuthMethod == authNone {
		if secret != "" {
			return nil, s.unknownClient(w, basic, "this client has no secret")
		}
		return c, nil
	}
	if subtle.ConstantTimeCompare(hashOf(secret), c.SecretHash) != 1 {
		return nil, s.unknownClient(w, basic, "wrong client secret")
	}
	return c, nil
}

// unknownClient is the answer to a failed authentication. 401 tells clients to
// register again.
func (s *Server) unknownClient(w http.ResponseWriter, basic bool, reason string) error {
	if basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint", charset="UTF-8"`)
	}
	return ErrInvalidClient.because(nil, "%s", reason)
}

// clientCredentials finds who the client says it is, in the header or the form,
// and never in both.
func clientCredentials(r *http.Request, form url.Values) (id, secret string, basic bool, err error) {
	id, secret = form.Get("client_id"), form.Get("client_secret")
	header := r.Header.Get("Authorization")
	if header == "" {
		return id, secret, false, nil
	}
	if len(r.Header.Values("Authorization")) > 1 {
		return "", "", true, ErrInvalidRequest.because(nil, "more than one Authorization header")
	}
	if scheme, _, _ := strings.Cut(header, " "); !strings.EqualFold(scheme, "basic") {
		return id, secret, false, nil // such as a bearer token that a client sends along
	}
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", true, ErrInvalidRequest.because(nil, "the Authorization header is malformed")
	}
	// Both are form-encoded before they are put together (section 2.3.1).
	user, errUser := url.QueryUnescape(user)
	password, errPassword := url.QueryUnescape(password)
	if errUser != nil || errPassword != nil {
		return "", "", true, ErrInvalidRequest.because(nil, "the Authorization header is not form-encoded")
	}
	if secret != "" || (id != "" && id != user) {
		return "", "", true, ErrInvalidRequest.because(nil, "the client authenticates in two ways at once")
	}
	return user, password, true, nil
}
