package mcphandler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Limits of a declared tool.
const (
	defaultTimeout     = 30 * time.Second
	maxTimeout         = 10 * time.Minute
	defaultMaxResponse = 4 << 20  // bytes
	maxMaxResponse     = 64 << 20 // bytes
)

// DeclaredOptions is what a declared tool needs beside its configuration.
type DeclaredOptions struct {
	// Expand returns the value of env.NAME or file.PATH. It is called while
	// the tool is made, never by a call. Nil refuses these placeholders.
	Expand func(name string) (string, error)

	// Now is the clock that a Retry-After date is compared with; nil means
	// time.Now.
	Now func() time.Time
}

// Declared is a [Tool] that is made of words. It is safe for concurrent use.
type Declared struct {
	description Description
	inputs      *inputs
	output      *jsonSchema // nil without an output schema

	respond     *template     // one of these three is set;
	respondJSON *jsonTemplate // this one with an output schema
	request     *requestTemplate

	result      *jqProgram // nil for the response as it is
	need        Need
	grant       *grantTemplate
	upstream    Upstream
	timeout     time.Duration
	maxResponse int64
	now         func() time.Time
}

// NewDeclared makes the tool that cfg declares. It does no I/O beside
// opts.Expand. Requests are sent by up, which may be nil for a tool without
// one. Errors name the tool, the field, what was found and what is accepted;
// they show {env.*} and {file.*} as written, never their values.
func NewDeclared(cfg DeclaredConfig, up Upstream, opts DeclaredOptions) (*Declared, error) {
	d, err := newDeclared(&cfg, up, opts)
	if err != nil {
		return nil, fmt.Errorf("tool %q: %w", cfg.Name, err)
	}
	return d, nil
}

func newDeclared(cfg *DeclaredConfig, up Upstream, opts DeclaredOptions) (*Declared, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Declared{
		need: Need{
			Provider: cfg.Provider, Scopes: cfg.Scopes, Label: cfg.Label, Agent: cfg.Agent, Mode: cfg.Mode,
			Constraints: cfg.Constraints, VaultRule: cfg.VaultRule, Identity: cfg.SignedIdentity, Tool: cfg.Name,
		},
		upstream: up,
		timeout:  cfg.Timeout, maxResponse: cfg.MaxResponse,
		now: opts.Now,
	}
	if d.timeout == 0 {
		d.timeout = defaultTimeout
	}
	if d.maxResponse == 0 {
		d.maxResponse = defaultMaxResponse
	}
	if d.now == nil {
		d.now = time.Now
	}
	var err error
	if d.inputs, err = newInputs(cfg); err != nil {
		return nil, err
	}
	if err := d.compile(cfg, opts.Expand); err != nil {
		return nil, err
	}
	d.description = cfg.describe(d.inputs.doc)
	return d, nil
}

// compile compiles what the tool does.
func (d *Declared) compile(cfg *DeclaredConfig, expand func(string) (string, error)) error {
	var err error
	if len(cfg.OutputSchema) > 0 {
		if d.output, err = compileSchema(cfg.OutputSchema); err != nil {
			return fmt.Errorf("output_schema: %w", err)
		}
	}
	if cfg.Result != "" {
		if d.result, err = compileJQ(cfg.Result); err != nil {
			return fmt.Errorf("result: %w", err)
		}
	}
	words := &vocabulary{arguments: d.inputs.kinds, order: d.inputs.order, expand: expand}
	if cfg.Request == nil {
		return d.compileRespond(words, cfg.Respond)
	}
	if d.grant, err = words.compileGrant(&cfg.GrantConfig); err != nil {
		return err
	}
	if d.upstream == nil {
		return errors.New("request: there is nothing to send it with")
	}
	if d.request, err = words.compileRequest(cfg.Request, cfg.Provider != ""); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if cfg.SignedIdentity != nil && !d.request.url.secure() {
		return errors.New("request: url: the request says who calls (signed_identity); accepted is https, or http to a loopback host")
	}
	return nil
}

// compileRespond compiles an answer. One that has to match a schema is a JSON
// document whose strings are templates, so that no value can change its shape.
func (d *Declared) compileRespond(words *vocabulary, text string) error {
	var err error
	if d.output == nil {
		d.respond, err = words.compile(text)
	} else {
		d.respondJSON, err = words.compileJSON(json.RawMessage(text))
	}
	if err != nil {
		return fmt.Errorf("respond: %w", err)
	}
	return nil
}

// check refuses settings that are missing, out of range or without effect.
func (cfg *DeclaredConfig) check() error {
	switch {
	case !isToolName(cfg.Name):
		return errors.New("name: accepted are 1 to 128 characters of A-Z a-z 0-9 _ . -")
	case strings.TrimSpace(cfg.Description) == "":
		return errors.New("description: is missing; the model chooses a tool by it")
	case cfg.Respond != "" && cfg.Request != nil:
		return errors.New("respond and request exclude each other; set one of them")
	case cfg.Respond == "" && cfg.Request == nil:
		return errors.New("it does nothing; set respond, or a request: get, post, put, patch, delete or head")
	case cfg.Provider != "" && cfg.Request == nil:
		return fmt.Errorf("provider %q: accepted only with request", cfg.Provider)
	case len(cfg.Scopes) > 0 && cfg.Provider == "":
		return errors.New("scopes: accepted only with provider")
	case cfg.Result != "" && cfg.Request == nil:
		return errors.New("result: accepted only with request")
	case cfg.ReadOnly && cfg.Destructive:
		return errors.New("read_only and destructive exclude each other; set one of them")
	case cfg.Timeout < 0 || cfg.Timeout > maxTimeout:
		return fmt.Errorf("timeout %s: accepted are durations up to %s", cfg.Timeout, maxTimeout)
	case cfg.MaxResponse < 0 || cfg.MaxResponse > maxMaxResponse:
		return fmt.Errorf("max_response %d: accepted are 1 to %d bytes", cfg.MaxResponse, maxMaxResponse)
	}
	if err := cfg.SignedIdentity.check(cfg); err != nil {
		return err
	}
	return cfg.GrantConfig.check(cfg.Provider)
}

func (cfg *DeclaredConfig) describe(input json.RawMessage) Description {
	description := Description{
		Name: cfg.Name, Title: cfg.Title, Description: cfg.Description,
		InputSchema: input, OutputSchema: cfg.OutputSchema,
	}
	if !cfg.ReadOnly && !cfg.Destructive && !cfg.Idempotent && !cfg.ClosedWorld {
		return description
	}
	// What was not said stays out: the protocol's own defaults are cautious.
	description.Annotations = &Annotations{
		ReadOnly: trueOrNil(cfg.ReadOnly), Destructive: trueOrNil(cfg.Destructive), Idempotent: trueOrNil(cfg.Idempotent),
	}
	if cfg.ClosedWorld {
		description.Annotations.OpenWorld = new(bool)
	}
	return description
}

func trueOrNil(said bool) *bool {
	if !said {
		return nil
	}
	return &said
}

// Target returns scheme and host of the tool's requests, which are fixed, or nil
// for a tool that makes none.
func (d *Declared) Target() *url.URL {
	if d.request == nil {
		return nil
	}
	return &url.URL{Scheme: d.request.url.scheme, Host: d.request.url.host}
}

// Describe implements [Tool].
func (d *Declared) Describe() Description { return d.description }

// Call implements [Tool]. The error is an [*ArgumentsError], a [*ToolError],
// what the [Upstream] answered with a [*ConnectError], or the error of ctx.
// What a service refuses is a [Result] that is marked as an error.
func (d *Declared) Call(ctx context.Context, c *Call) (*Result, error) {
	arguments, err := d.inputs.arguments(c.Arguments)
	if err != nil {
		return nil, err
	}
	values := &templateValues{arguments: arguments, caller: c.Caller}
	if d.request == nil {
		values.lenient = true
		return d.answerText(values)
	}
	limited, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	req, err := d.request.build(limited, values)
	if err != nil {
		return nil, err
	}
	need := d.need
	need.Arguments, need.Approval, need.Progress, need.Closing = c.Arguments, c.Approval, c.Progress, c.Closing
	if err := d.grant.fill(&need, values); err != nil {
		return nil, err
	}
	result, err := d.send(limited, c.Caller, need, req)
	if err != nil && errors.Is(limited.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		return ErrorResult("no answer within %s", d.timeout), nil
	}
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return result, err
}

// Interface guard
var _ Tool = (*Declared)(nil)
