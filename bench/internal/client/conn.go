// Package client is the load generator's side of HTTP: one connection per
// worker, a person at a browser, and an MCP client of each protocol era.
//
// Every answer is checked for being the right one of the right person. It talks
// to loopback addresses only.
package client

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

const (
	// ioTimeout bounds a request: one that takes longer fails the measurement.
	ioTimeout = 30 * time.Second
	// maxBody bounds what is read of an answer, in bytes.
	maxBody = 1 << 20
)

// Conn is one kept HTTP/1.1 connection. It has no goroutines of its own, which
// keeps the generator cheaper than what it measures. It is for one goroutine.
type Conn struct {
	scheme, host string
	roots        *x509.CertPool

	conn net.Conn
	read *bufio.Reader
	out  bytes.Buffer
}

// Field is one header field.
type Field struct{ Name, Value string }

// Reply is an answer that was read to its end.
type Reply struct {
	Status int
	Header http.Header
	Body   []byte
}

// NewConn returns a connection to the host of at, which is dialed when it is
// first used. roots are trusted for https.
func NewConn(at *url.URL, roots *x509.CertPool) *Conn {
	return &Conn{scheme: at.Scheme, host: at.Host, roots: roots}
}

// Close closes the connection.
func (c *Conn) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// Do sends one request and reads its answer. A kept connection that the server
// had closed meanwhile is dialed again, once.
func (c *Conn) Do(method, target string, fields []Field, body []byte) (*Reply, error) {
	c.write(method, target, fields, body)
	kept := c.conn != nil
	reply, err := c.once(method)
	if kept && wasClosed(err) {
		reply, err = c.once(method)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, c.host, err)
	}
	return reply, nil
}

// wasClosed reports whether a request met a connection that the server had
// closed. Had the server answered it all the same, it would count twice.
func wasClosed(err error) bool {
	for _, closed := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, closed) {
			return true
		}
	}
	return false
}

func (c *Conn) write(method, target string, fields []Field, body []byte) {
	c.out.Reset()
	c.out.WriteString(method + " " + target + " HTTP/1.1\r\nHost: " + c.host + "\r\nUser-Agent: bench\r\n")
	for _, f := range fields {
		c.out.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	if method == http.MethodPost {
		c.out.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n")
	}
	c.out.WriteString("\r\n")
	c.out.Write(body)
}

func (c *Conn) once(method string) (*Reply, error) {
	if c.conn == nil {
		if err := c.dial(); err != nil {
			return nil, err
		}
	}
	reply, err := c.exchange(method)
	if err != nil {
		c.Close()
	}
	return reply, err
}

func (c *Conn) exchange(method string) (*Reply, error) {
	if err := c.conn.SetDeadline(time.Now().Add(ioTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.read, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("answer is longer than %d bytes", maxBody)
	}
	if resp.Close {
		c.Close()
	}
	return &Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

func (c *Conn) dial() error {
	conn, err := net.DialTimeout("tcp", c.host, ioTimeout)
	if err != nil {
		return err
	}
	if addr, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("%s is not on this machine", c.host), conn.Close())
	}
	if c.scheme == "https" {
		name, _, err := net.SplitHostPort(c.host)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		conn = tls.Client(conn, &tls.Config{ServerName: name, RootCAs: c.roots, MinVersion: tls.VersionTLS13})
	}
	c.conn, c.read = conn, bufio.NewReaderSize(conn, 4096)
	return nil
}
