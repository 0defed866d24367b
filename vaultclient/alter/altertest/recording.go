package altertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Recording is what a client sent, step by step, in a form that is the same in
// every run and for every client that speaks the protocol alike.
type Recording []RecordedStep

// RecordedStep is what was sent in one step.
type RecordedStep struct {
	Step string `json:"step"`
	// Calls are in the order in which they came; Background are the reports
	// that a client sends beside them, sorted.
	Calls      []RecordedCall `json:"calls"`
	Background []RecordedCall `json:"background,omitempty"`
	Provider   []RecordedCall `json:"provider,omitempty"`
}

// RecordedCall is one call. Values that change from run to run are replaced by
// names in angle brackets.
type RecordedCall struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Header json.RawMessage `json:"header,omitempty"` // of the protocol, lower case
	Body   json.RawMessage `json:"body,omitempty"`
	// Grant is whose credential a provider's request carried, Credential the
	// header lines, sorted, that it could be in.
	Grant      string   `json:"grant,omitempty"`
	Credential []string `json:"credential,omitempty"`
}

// Recording returns what was sent since the last reset.
func (v *Vault) Recording() Recording {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.recording()
}

// recording is what was recorded before and the present step, if it has a name;
// the caller holds the lock.
func (v *Vault) recording() Recording {
	if v.step == "" {
		return v.recorded
	}
	step, n := RecordedStep{Step: v.step, Calls: []RecordedCall{}}, v.newNamer()
	for _, c := range v.calls {
		if c.Step != v.step {
			continue
		}
		recorded := RecordedCall{
			Method: c.Method, Path: n.plain(c.Path), Query: anyWait.ReplaceAllString(n.plain(c.Query), "wait=<wait>"),
			Header: n.header(c.Header), Body: n.body(c.Body),
		}
		if background(c.Path) {
			step.Background = append(step.Background, recorded)
		} else {
			step.Calls = append(step.Calls, recorded)
		}
	}
	for _, h := range v.hits {
		if h.Step != v.step {
			continue
		}
		step.Provider = append(step.Provider, RecordedCall{
			Method: h.Method, Path: h.Path, Query: n.plain(h.Query), Header: n.header(h.Header),
			Body: n.body(h.Body), Grant: n.plain(h.GrantID), Credential: n.credential(h, v.grant(h.GrantID)),
		})
	}
	slices.SortStableFunc(step.Background, func(a, b RecordedCall) int { return bytes.Compare(bytesOf(a), bytesOf(b)) })
	return append(slices.Clip(v.recorded), step)
}

func background(path string) bool {
	return path == "/sdk/oauth/audit/api-call" || strings.HasSuffix(path, "/report-scope-mismatch")
}

// namer gives names to values that differ from run to run.
type namer struct {
	fixed *strings.Replacer
	uuids []string
}

func (v *Vault) newNamer() *namer {
	pairs := []string{v.URL, "<base>", strings.TrimPrefix(v.URL, "http://"), "<host>"}
	for _, g := range v.grants {
		name := strings.TrimSpace(strings.Join([]string{g.Person, g.Provider, g.Account, g.Label}, " "))
		pairs = append(pairs, g.ID, "<grant "+name+">", g.Generation, "<generation "+name+">", g.Token, "<token "+name+">")
	}
	for caller, actor := range v.actors {
		pairs = append(pairs, actor, "<actor "+caller+">")
	}
	for _, a := range v.config.Agents {
		pairs = append(pairs, a.ID, "<agent "+a.Name+">")
	}
	return &namer{fixed: strings.NewReplacer(pairs...)}
}

var (
	anyUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	anyJWT  = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}`)
	anyWait = regexp.MustCompile(`\bwait=[1-9][0-9]*\b`)
	anyTime = regexp.MustCompile(`^<transport error: timeout after [0-9]+ms>$`)
	agentUA = regexp.MustCompile(`^alter-sdk-python/[0-9.]+$`)
)

// plain names what a text holds.
func (n *namer) plain(s string) string {
	s = anyJWT.ReplaceAllStringFunc(n.fixed.Replace(s), tokenName)
	return anyUUID.ReplaceAllStringFunc(s, func(id string) string {
		i := slices.Index(n.uuids, id)
		if i < 0 {
			n.uuids = append(n.uuids, id)
			i = len(n.uuids) - 1
		}
		return fmt.Sprintf("<id %d>", i+1)
	})
}

// tokenName says whose a user token is.
func tokenName(token string) string {
	var c userClaims
	payload, err := base64url.DecodeString(strings.Split(token, ".")[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return "<jwt>"
	}
	return "<user token " + c.Subject + ">"
}

// longestText is up to where a recording shows a text, in bytes.
const longestText = 4096

// volatileHeaders differ in each call.
var volatileHeaders = map[string]string{
	"x-api-key": "<api key>", "x-alter-timestamp": "<time>", "x-alter-nonce": "<nonce>",
	"x-alter-content-sha256": "<hash>", "x-alter-signature": "<signature>", "x-alter-signature-v2": "<signature>",
	"traceparent": "<trace>",
}

func (n *namer) header(sent []Header) json.RawMessage {
	kept := map[string]string{}
	for _, line := range sent {
		name := strings.ToLower(line.Name)
		if fixed := volatileHeaders[name]; fixed != "" {
			kept[name] = fixed
		} else if strings.HasPrefix(name, "x-alter-") || name == "content-type" || name == "idempotency-key" {
			kept[name] = n.plain(line.Value)
			if name == "x-alter-context" { // the order of its keys means nothing
				kept[name] = string(n.body(json.RawMessage(line.Value)))
			}
		}
	}
	return bytesOf(kept) // sorted by encoding/json
}

// signedAWS is what changes from run to run in a signature for AWS.
var signedAWS = regexp.MustCompile(`/[0-9]{8}/|Signature=[0-9a-f]{64}`)

// credential returns the lines of a hit that have the name of one in which g's
// credential goes.
func (n *namer) credential(h Hit, g *Grant) []string {
	if g == nil {
		return nil
	}
	names := []string{g.InjectHeader}
	for _, extra := range g.Injections {
		names = append(names, extra.Key)
	}
	aws := strings.HasPrefix(g.InjectFormat, sigV4)
	var lines []string
	for _, line := range h.Header {
		name, value := strings.ToLower(line.Name), n.plain(line.Value)
		switch {
		case aws && name == "x-amz-date":
			value = "<time>"
		case aws && name == "authorization":
			value = signedAWS.ReplaceAllStringFunc(value, func(found string) string {
				if found[0] == '/' {
					return "/<date>/"
				}
				return "Signature=<signature>"
			})
		case aws && strings.HasPrefix(name, "x-amz-"):
		case !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) }):
			continue
		}
		lines = append(lines, name+": "+value)
	}
	slices.Sort(lines)
	return lines
}

// body names what a JSON text holds; its keys come out sorted.
func (n *namer) body(text json.RawMessage) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if dec.Decode(&value) != nil {
		return text
	}
	return bytesOf(n.value("", value))
}

// value names the values below a key.
func (n *namer) value(key string, value any) any {
	switch x := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(x) {
			x[name] = n.value(strings.ToLower(name), x[name])
		}
		return x
	case []any:
		for i := range x {
			x[i] = n.value(key, x[i])
		}
		return x
	case string:
		switch {
		case key == "sdk_correlation_id":
			return "<correlation>"
		case key == "date":
			return "<date>"
		case agentUA.MatchString(x):
			return "<user agent>"
		case anyTime.MatchString(x):
			return "<transport error: timeout>"
		case len(x) > longestText:
			return fmt.Sprintf("<%d bytes>", len(x))
		}
		return n.plain(x)
	case json.Number:
		switch key {
		case "latency_ms":
			return "<latency>"
		case "wait_ms": // of what is left of the client's own limit
			return "<wait>"
		}
	}
	return value
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
