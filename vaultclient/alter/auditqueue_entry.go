package alter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
)

// AuditEntry is the record of one call, with what its own request to the vault
// carries beside it.
type AuditEntry struct {
	// Caller of the call that is reported. No name: that of the client which
	// sends it.
	Caller Caller
	// Context as in [WithAuditContext], with the same limits.
	Context map[string]string
	// Traceparent of the call that is reported (W3C Trace Context section 3.2);
	// one that is not valid is left out.
	Traceparent string
	// Body is a JSON object.
	Body json.RawMessage

	encoded bool   // Body is what encode made
	context string // of a normal entry: Context as it goes over the wire, or empty
}

// auditHead is what a row holds before the body.
type auditHead struct {
	Caller      string          `json:"caller,omitempty"`
	CallerType  CallerType      `json:"caller_type,omitempty"`
	Context     json.RawMessage `json:"context,omitempty"` // as in the header
	Traceparent string          `json:"traceparent,omitempty"`
}

// normal checks e and returns a copy that shares nothing with it, whose body is
// what goes over the wire.
func (e AuditEntry) normal() (AuditEntry, error) {
	if _, err := e.Caller.withType(KeyApp); err != nil {
		return e, err
	}
	var err error
	if e.context, err = contextHeader(e.Context); err != nil {
		return e, err
	}
	e.Context = nil
	if e.Traceparent != "" {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(e.resume(context.Background()), carrier)
		e.Traceparent = carrier["traceparent"]
	}
	if e.encoded {
		return e, nil
	}
	if !bytes.HasPrefix(bytes.TrimLeft(e.Body, " \t\r\n"), []byte("{")) {
		return e, invalid("audit record: want a JSON object")
	}
	e.Body, err = encode(e.Body)
	return e, err
}

// resume returns a context in which requests belong to the trace of e.
func (e *AuditEntry) resume(ctx context.Context) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": e.Traceparent})
}

// encode returns what the spool keeps of a normal entry: a line of JSON, and the
// body as it is sent. From then on the body of e is that part of it.
func (e *AuditEntry) encode() ([]byte, error) {
	head, err := encode(auditHead{e.Caller.Name, e.Caller.Type, json.RawMessage(e.context), e.Traceparent})
	if err != nil {
		return nil, err
	}
	data := make([]byte, 0, len(head)+1+len(e.Body))
	data = append(append(append(data, head...), '\n'), e.Body...)
	e.Body = data[len(head)+1:]
	return data, nil
}

// decodeEntry is the inverse of encode.
func decodeEntry(data []byte) (AuditEntry, error) {
	line, body, ok := bytes.Cut(data, []byte("\n"))
	var head auditHead
	if err := json.Unmarshal(line, &head); err != nil || !ok {
		return AuditEntry{}, fmt.Errorf("decoding audit record: %w", err)
	}
	return AuditEntry{
		Caller: Caller{head.Caller, head.CallerType}, Traceparent: head.Traceparent, Body: body,
		encoded: true, context: string(head.Context),
	}, nil
}

// sendAudit reports one call, once. Any 2xx is success.
func (c *Client) sendAudit(ctx context.Context, e *AuditEntry) error {
	k := call{method: http.MethodPost, path: "/sdk/oauth/audit/api-call", context: e.context}
	if e.Caller.Name != "" {
		caller, err := e.Caller.withType(c.kind)
		if err != nil {
			return err
		}
		// The client's own caller goes with the id that the vault knows it by.
		if caller != c.cfg.Caller {
			k.caller = &caller
		}
	}
	_, err := c.once(e.resume(ctx), k, e.Body)
	return err
}
