package alter

import (
	"context"
	"net/http"
	"time"
)

// ScopeReport tells the vault that a provider refused a call for want of scopes.
type ScopeReport struct {
	// Missing scopes, if the provider names them: at most 50 of 256 bytes.
	Missing []string
	// Challenge is the provider's WWW-Authenticate, of which 4096 bytes are sent.
	Challenge string
	// Endpoint is the URL of the call without query, of which 2048 bytes are
	// sent.
	Endpoint string
	// CorrelationID names the call in the caller's own records; required.
	CorrelationID string
}

// Limits of a [ScopeReport].
const (
	reportTimeout      = 2 * time.Second
	maxReportScopes    = 50
	maxReportScope     = 256
	maxReportChallenge = 4096
	maxReportEndpoint  = 2048
)

// ReportScopeMismatch tells the vault of a grant that lacks scopes, so that it
// refuses the next call before the provider does: POST
// /sdk/grants/{id}/report-scope-mismatch. It takes 2 seconds at most.
func (c *Client) ReportScopeMismatch(ctx context.Context, grantID string, r ScopeReport) error {
	if !isUUID(grantID) {
		return invalid("grant id %q: want a UUID", cut(grantID))
	}
	var missing []string // null when the provider names none
	for _, s := range r.Missing {
		if s != "" && len(s) <= maxReportScope && len(missing) < maxReportScopes {
			missing = append(missing, s)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	k := call{
		method: http.MethodPost, path: "/sdk/grants/" + grantID + "/report-scope-mismatch", plain: true,
		repeatable: true, want: only(http.StatusNoContent),
		body: struct {
			Status    int      `json:"provider_status_code"`
			Code      string   `json:"provider_error_code"`
			Missing   []string `json:"missing_scopes"`
			Challenge *string  `json:"raw_www_authenticate"`
			Endpoint  string   `json:"api_endpoint"`
			Source    string   `json:"detection_source"`
			ID        string   `json:"sdk_correlation_id"`
		}{
			http.StatusForbidden, "insufficient_scope", missing, orNull(cutTo(r.Challenge, maxReportChallenge)),
			cutTo(r.Endpoint, maxReportEndpoint), "www_authenticate_rfc6750", r.CorrelationID,
		},
	}
	_, err := c.do(ctx, k)
	return err
}
