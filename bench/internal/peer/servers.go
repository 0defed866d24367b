package peer

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Bare is an HTTP handler with one request to the provider and no check of the
// token: what nobody can be cheaper than.
func Bare(provider string) http.Handler {
	fetch := newFetcher(provider)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerRPC(w, r, func() (string, error) { return fetch(r.Context(), claimedName(r)) })
	})
}

// HandWritten is the same with a check of the token by the key in file. With
// keep, a verified token is verified once.
func HandWritten(provider, file string, keep bool) (http.Handler, error) {
	verify, err := verifier(file)
	if err != nil {
		return nil, err
	}
	if keep {
		verify = kept(verify)
	}
	fetch := newFetcher(provider)
	return require(verify)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answerRPC(w, r, func() (string, error) {
			info := auth.TokenInfoFromContext(r.Context())
			if info == nil {
				return "", errNobody
			}
			return fetch(r.Context(), info.UserID)
		})
	})), nil
}

// OfficialSDK is a server on the official Go SDK as its documentation has it:
// stateless, JSON answers.
func OfficialSDK(provider, file string) (http.Handler, error) {
	verify, err := verifier(file)
	if err != nil {
		return nil, err
	}
	fetch := newFetcher(provider)
	server := mcp.NewServer(&mcp.Implementation{Name: "peer", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "get_profile", Description: "The caller's profile at the provider."},
		func(ctx context.Context, req *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			if req.Extra == nil || req.Extra.TokenInfo == nil {
				return nil, nil, errNobody
			}
			text, err := fetch(ctx, req.Extra.TokenInfo.UserID)
			if err != nil {
				return nil, nil, err
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
		})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: true, JSONResponse: true})
	return require(verify)(handler), nil
}

func require(verify auth.TokenVerifier) func(http.Handler) http.Handler {
	return auth.RequireBearerToken(verify, &auth.RequireBearerTokenOptions{Scopes: []string{scope}})
}

// kept remembers good tokens, of which the load has a bounded number.
func kept(verify auth.TokenVerifier) auth.TokenVerifier {
	var good sync.Map
	return func(ctx context.Context, token string, r *http.Request) (*auth.TokenInfo, error) {
		key := sha256.Sum256([]byte(token))
		if found, ok := good.Load(key); ok {
			if info := found.(*auth.TokenInfo); info.Expiration.After(time.Now()) {
				return info, nil
			}
		}
		info, err := verify(ctx, token, r)
		if err == nil {
			good.Store(key, info)
		}
		return info, err
	}
}
