package alter

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Limits of a scope report, in entries and characters.
const (
	maxReportedScopes = 50
	maxReportedScope  = 256
	maxReportedHeader = 4096
	maxReportedURL    = 2048
	reportTimeout     = 2 * time.Second
)

// ScopeReport tells the vault that a provider refused a grant for want of scopes
// (RFC 6750 section 3.1, insufficient_scope).
type ScopeReport struct {
	// Missing scopes; nil when the provider did not say. At most 50 of 256
	// characters are sent.
	Missing []string
	// WWWAuthenticate is the provider's header field; at most 4096 characters
	// are sent.
	WWWAuthenticate string
	// URL that was called, without its query; at most 2048 characters.
	URL string
	// CorrelationID names the call in the log of this side. Required.
	CorrelationID string
}

type scopeReportBody struct {
	Status          int      `json:"provider_status_code"`
	Code            string   `json:"provider_error_code"`
	Missing         []string `json:"missing_scopes"`
	WWWAuthenticate *string  `json:"raw_www_authenticate"`
	URL             string   `json:"api_endpoint"`
	Source          string   `json:"detection_source"`
	CorrelationID   string   `json:"sdk_correlation_id"`
}

// ReportScopeMismatch marks a grant as lacking scopes, so that the person is
// asked for them: POST /sdk/grants/{id}/report-scope-mismatch. It needs no scope
// of its own, takes at most 2 seconds, and is not sent again but where it surely
// was not received: nobody waits for it. Errors: [ErrInvalid],
// [ErrGrantNotFound], [ErrUnavailable].
func (c *Client) ReportScopeMismatch(ctx context.Context, grantID string, r ScopeReport) error {
	if !isUUID(grantID) {
		return invalid("grant id %q: want a UUID in lower case", cut(grantID))
	}
	if r.URL == "" || len(r.URL) > maxReportedURL || r.CorrelationID == "" {
		return invalid("scope report: want a URL of at most %d bytes and a correlation id", maxReportedURL)
	}
	return c.discard(ctx, call{
		method: http.MethodPost, path: "/sdk/grants/" + grantID + "/report-scope-mismatch",
		plain: true, want: only(http.StatusNoContent), timeout: reportTimeout,
		body: scopeReportBody{
			Status: http.StatusForbidden, Code: "insufficient_scope", Source: "www_authenticate_rfc6750",
			Missing: reportedScopes(r.Missing), WWWAuthenticate: orNull(cutTo(r.WWWAuthenticate, maxReportedHeader)),
			URL: r.URL, CorrelationID: r.CorrelationID,
		},
	})
}

// reportedScopes drops what the vault would refuse the whole report for.
func reportedScopes(scopes []string) []string {
	var out []string
	for _, s := range scopes {
		if s != "" && len(s) <= maxReportedScope && len(out) < maxReportedScopes {
			out = append(out, s)
		}
	}
	return out
}

// cutTo bounds a text to so many bytes, at the end of a character.
func cutTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}

// discard makes a call whose answer has nothing to read.
func (c *Client) discard(ctx context.Context, k call) error {
	_, err := c.do(ctx, k)
	return err
}
