package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

// Documents says how client ID metadata documents are fetched
// (draft-ietf-oauth-client-id-metadata-document-00): clients whose client_id is
// an https URL that describes them. Zero values mean the documented default.
type Documents struct {
	// Off turns them off.
	Off bool
	// Hosts limits them to these host names, or names below one that is written
	// *.example.com. Default: any host.
	Hosts []string
	// Transport fetches them; nil means one that connects to public addresses
	// only.
	Transport http.RoundTripper
	// Timeout of a fetch. Default 10 s.
	Timeout time.Duration
}

func (d *Documents) complete() {
	if d.Timeout <= 0 {
		d.Timeout = 10 * time.Second
	}
	if d.Transport == nil {
		d.Transport = publicTransport()
	}
}

const (
	maxDocument       = 5 << 10 // bytes, as the draft advises
	maxDocuments      = 1000    // kept
	documentKeptLeast = 5 * time.Minute
	documentKeptMost  = 24 * time.Hour
	// Fetches that strangers may cause by an authorization request, refilled
	// over a minute: by one address, from one host, and in all.
	documentsPerAddr = 30
	documentsPerHost = 20
	documentsInAll   = 120
)

// documents fetches and keeps client ID metadata documents. Errors are never
// kept.
type documents struct {
	cfg     Documents
	now     func() time.Time
	kept    *lru.Cache[string, keptDocument]
	flights singleflight.Group
	perAddr *limiter
	perHost *limiter
	inAll   *limiter
}

type keptDocument struct {
	client *Client
	until  time.Time
}

func newDocuments(cfg Documents, now func() time.Time) (*documents, error) {
	kept, err := lru.New[string, keptDocument](maxDocuments)
	if err != nil {
		return nil, fmt.Errorf("making the cache of client documents: %w", err)
	}
	return &documents{
		cfg: cfg, now: now, kept: kept,
		perAddr: newLimiter(documentsPerAddr, time.Minute),
		perHost: newLimiter(documentsPerHost, time.Minute), inAll: newLimiter(documentsInAll, time.Minute),
	}, nil
}

// isDocumentID reports whether a client_id is a URL and not the id of a
// registered client.
func isDocumentID(id string) bool { return strings.Contains(id, ":") }

// documentHost returns the host name of a client_id that is a URL, or "".
func documentHost(id string) string {
	u, err := url.Parse(id)
	if err != nil || !isDocumentID(id) {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

// documentClient returns the client that the document at id describes.
// by is the address of whoever asks, whose fetches are limited before those of
// all together are.
func (s *Server) documentClient(ctx context.Context, id, by string) (*Client, error) {
	if s.cfg.Documents.Off {
		return nil, ErrInvalidClient.because(nil, "this server takes no client ID metadata documents")
	}
	if err := checkDocumentID(id, s.cfg.Documents.Hosts); err != nil {
		return nil, err
	}
	if c := s.documents.fresh(id); c != nil {
		return c, nil
	}
	if _, ok := s.documents.perAddr.allow(by, s.cfg.Now()); !ok {
		return s.documents.throttled(id)
	}
	c, err, _ := s.documents.flights.Do(id, func() (any, error) {
		// One person's impatience must not end the fetch for the others.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Documents.Timeout)
		defer cancel()
		return s.documents.fetch(ctx, id)
	})
	if err != nil {
		return nil, err
	}
	return c.(*Client), nil
}

// checkDocumentID refuses URLs that the draft does not allow as client_id
// (section 3): anything but https with a path, and any with a fragment, user
// information or dot segments.
func checkDocumentID(id string, hosts []string) error {
	u, err := url.Parse(id)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(id) > maxRedirectURI || !strings.HasPrefix(id, "https://") {
		return ErrInvalidClient.because(err, "client_id is neither registered nor an https URL")
	}
	if u.User != nil || strings.Contains(id, "#") || u.Path == "" || u.Path == "/" {
		return ErrInvalidClient.because(nil, "a client_id URL must have a path, and neither fragment nor user information")
	}
	for segment := range strings.SplitSeq(u.Path, "/") { // the decoded path
		if segment == "." || segment == ".." {
			return ErrInvalidClient.because(nil, "a client_id URL must have no dot segments")
		}
	}
	if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(h string) bool { return hostMatches(h, u.Hostname()) }) {
		return ErrInvalidClient.because(nil, "apps of this host are not allowed here")
	}
	return nil
}

func hostMatches(pattern, host string) bool {
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(host, below) && host != below
	}
	return pattern == host
}

func (d *documents) fresh(id string) *Client {
	if k, ok := d.kept.Get(id); ok && d.now().Before(k.until) {
		return k.client
	}
	return nil
}

// cached returns what is known of a client, however old.
func (d *documents) cached(id string) *Client {
	k, _ := d.kept.Peek(id)
	return k.client
}

// throttled returns what is known of a client when its document must not be
// fetched now.
func (d *documents) throttled(id string) (*Client, error) {
	if c := d.cached(id); c != nil {
		return c, nil
	}
	return nil, ErrUnavailable.because(nil, "too many apps are being looked up, try again in a minute")
}

// documentStandIn is a client whose document is not at hand: it is public, as
// all of them are, and has tokens that name it.
func documentStandIn(id string) (*Client, error) {
	host := documentHost(id)
	if host == "" {
		return nil, ErrNotFound
	}
	meta, err := json.Marshal(clientMetadata{GrantTypes: []string{grantCode, grantRefresh}})
	return &Client{ID: id, Name: host, AuthMethod: authNone, Metadata: meta}, err
}

func (d *documents) fetch(ctx context.Context, id string) (*Client, error) {
	now := d.now()
	_, okHost := d.perHost.allow(documentHost(id), now)
	_, okAll := d.inAll.allow("", now)
	if !okHost || !okAll {
		return d.throttled(id)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, id, nil)
	if err != nil {
		return nil, ErrInvalidClient.because(err, "client_id is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.cfg.Transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return nil, ErrInvalidClient.because(err, "the app's document at client_id could not be fetched")
	}
	defer resp.Body.Close()
	client, err := readDocument(id, resp)
	if err != nil {
		return nil, ErrInvalidClient.because(err, "the app's document at client_id is not valid: %v", err)
	}
	client.CreatedAt = now
	d.kept.Add(id, keptDocument{client, now.Add(keepFor(resp.Header))})
	return client, nil
}

// readDocument checks a response against sections 4 and 6 of the draft.
func readDocument(id string, resp *http.Response) (*Client, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %d", resp.StatusCode)
	}
	ct, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || (ct != "application/json" && !(strings.HasPrefix(ct, "application/") && strings.HasSuffix(ct, "+json"))) {
		return nil, errors.New("it is not application/json")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, errors.New("it could not be read")
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("it is longer than %d bytes", maxDocument)
	}
	var doc struct {
		clientMetadata
		ClientID        string          `json:"client_id"`
		Secret          json.RawMessage `json:"client_secret"`
		SecretExpiresAt json.RawMessage `json:"client_secret_expires_at"`
		JWKS            struct {
			Keys []struct {
				Kty string `json:"kty"`
			} `json:"keys"`
		} `json:"jwks"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errors.New("it is not a JSON object with the members of RFC 7591")
	}
	for _, key := range doc.JWKS.Keys {
		if key.Kty == "oct" {
			return nil, errors.New("it holds a symmetric key")
		}
	}
	switch {
	case doc.ClientID != id:
		return nil, errors.New("its client_id is another")
	case doc.Secret != nil || doc.SecretExpiresAt != nil:
		return nil, errors.New("it holds a client secret")
	case doc.AuthMethod != "" && doc.AuthMethod != authNone:
		return nil, errors.New("its token_endpoint_auth_method is not none")
	case cleanName(doc.ClientName) == "":
		return nil, errors.New("it has no client_name")
	case len(doc.RedirectURIs) == 0 || len(doc.RedirectURIs) > maxRedirectURIs:
		return nil, fmt.Errorf("it has not 1 to %d redirect_uris", maxRedirectURIs)
	}
	for _, uri := range doc.RedirectURIs {
		if err := checkRedirectURI(uri); err != nil {
			return nil, errors.New("one of its redirect_uris is not allowed")
		}
	}
	stored, err := json.Marshal(clientMetadata{RedirectURIs: doc.RedirectURIs, GrantTypes: []string{grantCode, grantRefresh}})
	return &Client{
		ID: id, Name: cleanName(doc.ClientName), RedirectURIs: doc.RedirectURIs,
		AuthMethod: authNone, Metadata: stored,
	}, err
}

// keepFor reads how long a document may be kept, within our own bounds: at
// least for one login to come through.
func keepFor(h http.Header) time.Duration {
	keep := time.Hour
	for directive := range strings.SplitSeq(strings.ToLower(h.Get("Cache-Control")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return documentKeptLeast
		case "max-age":
			if seconds, err := strconv.Atoi(value); err == nil {
				keep = time.Duration(min(max(seconds, 0), int(documentKeptMost.Seconds()))) * time.Second
			}
		}
	}
	return max(keep, documentKeptLeast)
}
