// Command fanout runs a message server, used as a library, as a peer of the
// benchmark of deliveries: centrifuge over its WebSocket protocol in JSON, or
// nats-server over its own. Both as they come: no history, no persistence, no
// tokens.
//
// When it answers it prints one line: ready, its address, and what runs.
// centrifuge gets publications as POST /publish, whose body is the data.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/centrifugal/centrifuge"
	nats "github.com/nats-io/nats-server/v2/server"
)

const (
	// channel is what everybody follows.
	channel = "bench"
	// longest is how many bytes a publication may have.
	longest = 1 << 20
	// startBound is how long a server may take to listen.
	startBound = 20 * time.Second
)

func main() {
	kind := flag.String("kind", "", "centrifuge or nats")
	flag.Parse()
	if err := run(*kind); err != nil {
		fmt.Fprintln(os.Stderr, "fanout:", err)
		os.Exit(1)
	}
}

// run serves until the process is killed.
func run(kind string) error {
	switch kind {
	case "centrifuge":
		return runCentrifuge()
	case "nats":
		return runNATS()
	}
	return fmt.Errorf("there is no kind %q", kind)
}

func runCentrifuge() error {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	sockets := http.NewServeMux()
	sockets.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{CheckOrigin: func(*http.Request) bool { return true }}))
	sockets.HandleFunc("POST /publish", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, longest))
		if err == nil {
			_, err = node.Publish(channel, data)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", "2")
		_, _ = io.WriteString(w, "{}") // who has gone needs no answer
	})
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("ready %s version=%s\n", listener.Addr(), version("github.com/centrifugal/centrifuge"))
	return http.Serve(listener, sockets)
}

func runNATS() error {
	s, err := nats.NewServer(&nats.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(startBound) {
		return errors.New("nats-server does not listen")
	}
	fmt.Printf("ready %s version=%s\n", s.Addr(), version("github.com/nats-io/nats-server/v2"))
	s.WaitForShutdown()
	return nil
}

// version is that of a module which this program was built with.
func version(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Path + "@" + m.Version
			}
		}
	}
	return "unknown"
}
