package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Tool is the tool that every system under test has: the caller's profile at
// the provider.
const Tool = "get_profile"

// Protocol revisions, one of each era.
const (
	Modern = "2026-07-28" // stateless
	Legacy = "2025-11-25" // with handshake
)

// Caller is one person's MCP client. One call is under way at a time.
type Caller struct {
	Name     string // that every answer must hold
	Revision string

	token, target string
	session       string
}

// NewCaller returns the client of a person at an endpoint.
func NewCaller(endpoint *url.URL, revision, name, token string) *Caller {
	return &Caller{Name: name, Revision: revision, token: token, target: endpoint.RequestURI()}
}

type response struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  *result         `json:"result"`
	Error   json.RawMessage `json:"error"`
}

type result struct {
	Version string `json:"protocolVersion"`
	IsError bool   `json:"isError"`
	Content []struct {
		Text string `json:"text"`
	} `json:"content"`
	Structured struct {
		URL string `json:"connect_url"`
	} `json:"structuredContent"`
}

// Open makes a session, in the era that has them.
func (c *Caller) Open(conn *Conn) error {
	if c.Revision == Modern {
		return nil
	}
	c.session = ""
	r, reply, err := c.request(conn, 1, "initialize",
		`{"protocolVersion":"`+c.Revision+`","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`)
	if err != nil {
		return err
	}
	if r.Version == "" {
		return fmt.Errorf("initialize: %.200s", reply.Body)
	}
	c.session = reply.Header.Get("Mcp-Session-Id")
	reply, err = c.post(conn, "notifications/initialized", `{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	if err == nil && reply.Status/100 != 2 {
		err = fmt.Errorf("initialized: status %d", reply.Status)
	}
	return err
}

// Call calls the tool and makes sure that the answer is the caller's own.
func (c *Caller) Call(conn *Conn, id int) error {
	r, reply, err := c.call(conn, id)
	if err != nil {
		return err
	}
	if r.IsError || len(r.Content) != 1 || !strings.Contains(r.Content[0].Text, `"`+c.Name+`"`) {
		return fmt.Errorf("the call of %s was answered with %.300s", c.Name, reply.Body)
	}
	return nil
}

// ConnectLink calls the tool and returns where the caller is to connect.
func (c *Caller) ConnectLink(conn *Conn) (string, error) {
	r, reply, err := c.call(conn, 1)
	if err != nil {
		return "", err
	}
	if !r.IsError || r.Structured.URL == "" {
		return "", fmt.Errorf("the first call of %s gives no link to connect: %.300s", c.Name, reply.Body)
	}
	return r.Structured.URL, nil
}

func (c *Caller) call(conn *Conn, id int) (*result, *Reply, error) {
	params := `{"name":"` + Tool + `","arguments":{}`
	if c.Revision == Modern {
		params += `,"_meta":{"io.modelcontextprotocol/protocolVersion":"` + c.Revision +
			`","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}`
	}
	return c.request(conn, id, "tools/call", params+"}")
}

func (c *Caller) request(conn *Conn, id int, method, params string) (*result, *Reply, error) {
	reply, err := c.post(conn, method, `{"jsonrpc":"2.0","id":`+strconv.Itoa(id)+`,"method":"`+method+`","params":`+params+`}`)
	if err != nil {
		return nil, nil, err
	}
	if reply.Status != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: status %d: %.200s", method, reply.Status, reply.Body)
	}
	body, err := message(reply)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", method, err)
	}
	var r response
	if err := json.Unmarshal(body, &r); err != nil || r.JSONRPC != "2.0" || string(r.ID) != strconv.Itoa(id) || r.Result == nil || r.Error != nil {
		return nil, nil, fmt.Errorf("%s: not the answer to %d: %.200s", method, id, body)
	}
	return r.Result, reply, nil
}

func (c *Caller) post(conn *Conn, method, body string) (*Reply, error) {
	fields := make([]Field, 0, 8)
	fields = append(fields, Field{"Authorization", "Bearer " + c.token}, Field{"Content-Type", "application/json"},
		Field{"Accept", "application/json, text/event-stream"})
	if method != "initialize" {
		fields = append(fields, Field{"MCP-Protocol-Version", c.Revision})
	}
	if c.session != "" {
		fields = append(fields, Field{"Mcp-Session-Id", c.session})
	}
	if c.Revision == Modern {
		fields = append(fields, Field{"Mcp-Method", method})
		if method == "tools/call" {
			fields = append(fields, Field{"Mcp-Name", Tool})
		}
	}
	return conn.Do(http.MethodPost, c.target, fields, []byte(body))
}

// message returns the JSON-RPC message of an answer: the body, or the one event
// of a stream.
func message(r *Reply) ([]byte, error) {
	switch contentType := r.Header.Get("Content-Type"); {
	case strings.HasPrefix(contentType, "application/json"):
		return r.Body, nil
	case strings.HasPrefix(contentType, "text/event-stream"):
		for line := range bytes.Lines(r.Body) {
			if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				return bytes.TrimSpace(data), nil
			}
		}
		return nil, errors.New("the stream has no event")
	default:
		return nil, fmt.Errorf("answer of type %q", contentType)
	}
}
