// Command peers runs one of the servers that the benchmark needs beside the one
// under test.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/peer"
)

func main() {
	addr := flag.String("addr", "", "loopback address and port")
	provider := flag.String("provider", "", "origin of the provider")
	key := flag.String("key", "", "PEM file of the key that tokens are signed by")
	flag.Parse()
	handler, err := choose(flag.Arg(0), *addr, *provider, *key)
	if err == nil {
		err = serve(*addr, handler)
	}
	log.Fatal(err)
}

func choose(name, addr, provider, key string) (http.Handler, error) {
	switch name {
	case "provider":
		return new(peer.Provider).Handler(), nil
	case "idp":
		idp, err := peer.NewIDP("http://" + addr)
		if err != nil {
			return nil, err
		}
		return idp.Handler(), nil
	case "vault":
		vault, err := peer.NewVault("http://" + addr)
		if err != nil {
			return nil, err
		}
		return vault.Handler(), nil
	case "bare":
		return peer.Bare(provider), nil
	case "hand":
		return peer.HandWritten(provider, key, false)
	case "sdk":
		return peer.OfficialSDK(provider, key)
	}
	return nil, fmt.Errorf("no peer is called %q; there are provider, idp, vault, bare, hand and sdk", name)
}

func serve(addr string, handler http.Handler) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return errors.New("only loopback addresses are served")
	}
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
