package mcphandler

import (
	"encoding/json"
	"net/http"
	"time"
)

// Upstream sends a tool's request.
type Upstream interface {
	// Do sends req with caller's own grant as need says. It never follows a
	// redirect. The error is a [*ConnectError] when caller has to connect
	// first, to grant scopes, or to approve the call, and [ErrInvalidToken] when
	// caller has to log in again. The body of the response is to be closed.
	Do(caller *Caller, need Need, req *http.Request) (*http.Response, error)
}

// Need is the grant that a request wants.
type Need struct {
	Provider string   // empty: no credential
	Scopes   []string // beside those that the provider always asks for

	// As in [GrantConfig], with placeholders filled in.
	Label, Account, Agent, Mode, Reason string
	Constraints                         []string
	VaultRule                           *VaultRule

	// Identity is a statement of who calls that the request carries; nil for
	// none. It needs no provider.
	Identity *SignedIdentity

	// Tool is who needs it, Arguments with what: together with the caller they
	// tell a call that is repeated.
	Tool      string
	Arguments json.RawMessage
	// Approval is the id of a [ConnectError] that the caller comes back with.
	Approval string
	// Progress and Closing as in [Call].
	Progress func(Progress)
	Closing  <-chan struct{}
}

// DeclaredConfig declares a tool in words: its inputs, and either a text to
// respond with or one HTTP request. It is the JSON form of the Caddyfile's
// tool block.
type DeclaredConfig struct {
	// Name of the tool: 1 to 128 characters of `A-Z a-z 0-9 _ . -`, unique
	// within the endpoint. Required.
	Name string `json:"name,omitempty"`

	// Name for people. Optional.
	Title string `json:"title,omitempty"`

	// What the tool does, for the model. Required.
	Description string `json:"description,omitempty"`

	// The provider whose grant of the calling person the request carries. It
	// names one of the endpoint's providers. Without it the request carries no
	// credential.
	Provider string `json:"provider,omitempty"`

	// Scopes at the provider that this tool needs beside those of the
	// provider's own list. Without them the person is asked to connect again.
	Scopes []string `json:"scopes,omitempty"`

	GrantConfig

	// Tell the service who calls, by a signed statement that it can check. It
	// goes to the host of the request alone, by https (loopback excepted). Default:
	// it is told nothing.
	SignedIdentity *SignedIdentity `json:"signed_identity,omitempty"`

	// The tool's arguments, in order. Excludes `input_schema`.
	Inputs []Input `json:"inputs,omitempty"`

	// A JSON Schema 2020-12 of type object for the arguments, when `inputs`
	// cannot say it.
	InputSchema json.RawMessage `json:"input_schema,omitempty"`

	// A JSON Schema 2020-12 for the result. With it, results carry
	// structuredContent and are checked.
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`

	// The text that the tool answers, with placeholders. Excludes `request`.
	Respond string `json:"respond,omitempty"`

	// The HTTP request that the tool makes. Excludes `respond`.
	Request *RequestConfig `json:"request,omitempty"`

	// A jq program that makes the result of the response's JSON. Several
	// outputs become an array. Default: the response as it is.
	Result string `json:"result,omitempty"`

	// Hints for clients: the tool changes nothing.
	ReadOnly bool `json:"read_only,omitempty"`
	// Hints for clients: the tool may destroy something.
	Destructive bool `json:"destructive,omitempty"`
	// Hints for clients: a second call with the same arguments changes nothing more.
	Idempotent bool `json:"idempotent,omitempty"`
	// Hints for clients: the tool reaches only a closed world, such as one
	// database, and not the open internet.
	ClosedWorld bool `json:"closed_world,omitempty"`

	// How long a call may take. At most 10m. Default: 30s.
	Timeout time.Duration `json:"-"`

	// The most bytes of a response that are read, after decompression; a
	// longer one is an error. At most 64 MiB. Default: 4 MiB.
	MaxResponse int64 `json:"max_response,omitempty"`
}

// Input is one argument of a declared tool.
type Input struct {
	// Name of the argument: letters, digits and underscores.
	Name string `json:"name,omitempty"`

	// `string`, `integer`, `number`, `boolean`, or one of these followed by
	// `[]` for a list.
	Type string `json:"type,omitempty"`

	// What it means, for the model.
	Description string `json:"description,omitempty"`

	// The argument may be absent. An argument is required unless it is
	// optional or has a default.
	Optional bool `json:"optional,omitempty"`

	// The value of an absent argument, as JSON of the input's type.
	Default json.RawMessage `json:"default,omitempty"`

	// The only values that are allowed, as JSON of the input's type.
	Enum []json.RawMessage `json:"enum,omitempty"`

	// Least value of a number, or of each number in a list.
	Min *float64 `json:"min,omitempty"`

	// Greatest value of a number, or of each number in a list.
	Max *float64 `json:"max,omitempty"`

	// Least length of a string in characters.
	MinLength *int `json:"min_length,omitempty"`

	// Greatest length of a string in characters. Default: 65536, so that no
	// argument grows without bound.
	MaxLength *int `json:"max_length,omitempty"`

	// Least number of items of a list.
	MinItems *int `json:"min_items,omitempty"`

	// Greatest number of items of a list. Default: 1000.
	MaxItems *int `json:"max_items,omitempty"`

	// Regular expression (ECMA 262, as in JSON Schema) that a string matches.
	Pattern string `json:"pattern,omitempty"`

	// JSON Schema `format` of a string, such as `date`, `email` or `uri`.
	Format string `json:"format,omitempty"`
}

// RequestConfig is the HTTP request of a declared tool. Texts may hold the
// placeholders {arg.*}, {user.*}, {client.*}, {env.*} and {file.*}.
type RequestConfig struct {
	// GET, POST, PUT, PATCH, DELETE or HEAD.
	Method string `json:"method,omitempty"`

	// Absolute URL. Placeholders of arguments stand in path segments only:
	// scheme and host are fixed, each value becomes one escaped segment.
	URL string `json:"url,omitempty"`

	// Query parameters, in order. A pair whose only placeholder is an absent
	// optional argument is left out; a list repeats the name.
	Query []Pair `json:"query,omitempty"`

	// Request header fields, in order.
	Headers []Pair `json:"headers,omitempty"`

	// The JSON body. Every string in it is a text with placeholders; one that
	// is exactly one placeholder keeps the JSON type of the value, and is left
	// out when that is an absent optional argument. Excludes `form` and `body`.
	JSON json.RawMessage `json:"json,omitempty"`

	// The fields of an application/x-www-form-urlencoded body, in order.
	// Excludes `json` and `body`.
	Form []Pair `json:"form,omitempty"`

	// The body as text. Excludes `json` and `form`.
	Body string `json:"body,omitempty"`

	// The Content-Type of `body`. Default: `text/plain; charset=utf-8`.
	ContentType string `json:"content_type,omitempty"`
}

// Pair is a name with a value, which may hold placeholders.
type Pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}
