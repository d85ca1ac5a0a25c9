// What the rows of Go serve: with FLIP=1 under Cloudflare's tableflip, as its README has it, else a plain net/http server
// that shuts down on SIGTERM. Its version, for the load, is its pid and when it started.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
)

const deadline = 30 * time.Second

var version = fmt.Sprintf("%d.%d", os.Getpid(), time.Now().UnixNano()/1e6)

func main() {
	if os.Getenv("FLIP") == "1" {
		flip()
	} else {
		plain()
	}
}

func flip() {
	upg, err := tableflip.New(tableflip.Options{PIDFile: os.Getenv("PID_FILE")})
	check(err)
	defer upg.Stop()
	go func() {
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		for range hup {
			if err := upg.Upgrade(); err != nil {
				log.Println("upgrade:", err)
			}
		}
	}()
	ln, err := upg.Listen("tcp", os.Args[1])
	check(err)
	server := serve(ln)
	check(upg.Ready())
	<-upg.Exit()
	end(server)
}

func plain() {
	ln, err := net.Listen("tcp", os.Args[1])
	check(err)
	server := serve(ln)
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-term
	end(server)
}

func serve(ln net.Listener) *http.Server {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("x-generation", version)
		io.WriteString(w, "hello\n")
	})
	http.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-generation", version)
		for i := 0; i < 10; i++ {
			time.Sleep(100 * time.Millisecond)
			io.WriteString(w, "hello\n")
			w.(http.Flusher).Flush()
		}
	})
	server := &http.Server{}
	go server.Serve(ln)
	return server
}

func end(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	check(server.Shutdown(ctx))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
