package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// maxBody bounds a request and an answer of the provider, in bytes.
const maxBody = 4 << 20

type content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type result struct {
	Content []content `json:"content"`
	IsError bool      `json:"isError,omitempty"`
	// Of the stateless revision; the others overlook it.
	Type string `json:"resultType"`
}

// answerRPC answers the methods that the load consists of, and nothing else.
func answerRPC(w http.ResponseWriter, r *http.Request, call func() (string, error)) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(body, &m) != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	if m.ID == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	var answer any
	switch m.Method {
	case "initialize":
		answer = map[string]any{
			"protocolVersion": "2025-11-25", "capabilities": map[string]any{"tools": map[string]any{}},
			"serverInfo": map[string]any{"name": "peer", "version": "1"},
		}
	case "tools/call":
		text, err := call()
		if err != nil {
			text = err.Error()
		}
		answer = result{Content: []content{{"text", text}}, IsError: err != nil, Type: "complete"}
	default:
		http.Error(w, "unknown method", http.StatusBadRequest)
		return
	}
	answerJSON(w, http.StatusOK, struct {
		JSONRPC string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  any             `json:"result"`
	}{"2.0", m.ID, answer})
}

// fetcher asks the provider for a person's profile with the person's token.
type fetcher func(ctx context.Context, name string) (string, error)

func newFetcher(provider string) fetcher {
	// The default of two idle connections would open new ones all the time.
	client := &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConns: 512, MaxIdleConnsPerHost: 512, DisableCompression: true},
	}
	return func(ctx context.Context, name string) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, provider+"/user", nil)
		if err != nil {
			return "", err
		}
		req.Header.Set("Authorization", "Bearer "+tokenPrefix+name)
		resp, err := client.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the provider answered %d", resp.StatusCode)
		}
		return string(body), err
	}
}

var errNobody = errors.New("nobody was authenticated")
