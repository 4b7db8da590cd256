// SPDX-License-Identifier: ISC

// go run . session|status|relay URL — with MUSTER_API_KEY for a session. The library is github.com/gorilla/websocket.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

type message map[string]any

// A protocol says hello, and answers what it hears; the number is the least time until the next attempt, in seconds.
type protocol struct {
	hello func() []message
	heard func(m message, say func(message) error) (retryAfter float64)
}

// once is one connection, from its start to the code it is closed with, or the status it is refused with.
func once(url string, p protocol) (code int, retryAfter float64) {
	link, answer, err := websocket.DefaultDialer.Dial(url, nil)
	if answer != nil && err != nil {
		log.Printf("refused: %s", answer.Status)
		seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
		return answer.StatusCode, float64(seconds) // below all codes of a close
	}
	if err != nil {
		return websocket.CloseAbnormalClosure, 0
	}
	defer link.Close()
	const silence = 75 * time.Second // every protocol's server pings more often than that
	alive := func() { _ = link.SetReadDeadline(time.Now().Add(silence)) }
	pong := link.PingHandler()
	link.SetPingHandler(func(data string) error { alive(); return pong(data) })
	say := func(m message) error { return link.WriteJSON(m) } // from this goroutine only
	for _, m := range p.hello() {
		if say(m) != nil {
			return websocket.CloseAbnormalClosure, 0
		}
	}
	for {
		alive()
		_, text, err := link.ReadMessage()
		if err != nil {
			if closed, ok := err.(*websocket.CloseError); ok {
				log.Printf("closed: %d %s", closed.Code, closed.Text)
				return closed.Code, retryAfter
			}
			return websocket.CloseAbnormalClosure, retryAfter
		}
		var m message
		if json.Unmarshal(text, &m) != nil {
			fmt.Printf("text: %s\n", text) // a relay in mode DIRECT passes on anything
			continue
		}
		if wait := p.heard(m, say); wait > 0 {
			retryAfter = wait
		}
	}
}

var session = protocol{
	hello: func() []message {
		return []message{{"type": "auth", "apiKey": os.Getenv("MUSTER_API_KEY"), "machineId": "go-1"}}
	},
	heard: func(m message, say func(message) error) float64 {
		switch m["type"] {
		case "auth_success":
			host, _ := os.Hostname()
			fmt.Println("connected as", m["machineId"])
			_ = say(message{"type": "system_info", "hostname": host, "os": runtime.GOOS, "arch": runtime.GOARCH, "cpu": runtime.NumCPU(), "ram": nil})
			_ = say(message{"type": "data", "boot": fmt.Sprint(time.Now().UnixNano()), "seq": 1, "metrics": message{"go": message{"goroutines": runtime.NumGoroutine()}}})
		case "ping":
			_ = say(message{"type": "pong"})
		case "auth_failed", "error":
			log.Println(m["code"], m["message"])
			wait, _ := m["retryAfter"].(float64)
			return wait
		}
		return 0
	},
}

var status = protocol{
	hello: func() []message { return nil },
	heard: func(m message, _ func(message) error) float64 {
		cpu, _ := m["cpu"].(map[string]any)
		fmt.Println(m["serverName"], cpu["percent"])
		return 0
	},
}

var relay = protocol{
	hello: func() []message { return []message{{"type": "identify", "deviceId": "go-1"}, {"temperature": 21.5}} },
	heard: func(m message, say func(message) error) float64 {
		if m["type"] == "control" { // an answer within 5 s
			_ = say(message{"type": "control_ack", "commandId": m["commandId"], "status": "success"})
		}
		fmt.Println(m)
		return 0
	},
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: session|status|relay URL")
	}
	p, known := map[string]protocol{"session": session, "status": status, "relay": relay}[os.Args[1]]
	if !known {
		log.Fatal("unknown protocol ", os.Args[1])
	}
	for wait := time.Second; ; wait *= 2 {
		began := time.Now()
		code, retryAfter := once(os.Args[2], p)
		switch code {
		case 401, 1008, 4002, 4003, 4009: // what waiting does not change
			os.Exit(77)
		}
		if time.Since(began) > 10*time.Second {
			wait = time.Second
		}
		if wait > 30*time.Second {
			wait = 30 * time.Second
		}
		next := wait
		if asked := time.Duration(retryAfter * float64(time.Second)); asked > next {
			next = asked
		}
		time.Sleep(next + time.Duration(rand.Int63n(int64(next/2))))
	}
}
