package alter

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/propagation"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// A call that is traced is one for the vault, too; the provider does not hear of
// it.
func TestTraceparent(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	f := newFlow(t, Config{})
	ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": parent})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.ProviderURL("ok")+"/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := answerOf(f.client.Do(req, f.use("alice"))); err != nil {
		t.Fatal(err)
	}
	is := func(h altertest.Header) bool { return strings.EqualFold(h.Name, "traceparent") }
	sent := f.Calls()[0].Header
	if i := slices.IndexFunc(sent, is); i < 0 || sent[i].Value != parent {
		t.Errorf("the vault got the headers %v, want the traceparent %s", sent, parent)
	}
	if got := f.Hits()[0].Header; slices.ContainsFunc(got, is) {
		t.Errorf("the provider got the headers %v, want no traceparent", got)
	}
}
