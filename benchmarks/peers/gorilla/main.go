// gorilla/websocket on one processor; a broadcast is one PreparedMessage.
package main

import (
	"log"
	"net/http"
	"os"
	"runtime"
	"sync"

	"github.com/gorilla/websocket"
)

var (
	upgrader = websocket.Upgrader{EnableCompression: true}
	members  = map[*websocket.Conn]bool{}
	lock     sync.Mutex
)

// serve gives every message of a connection to a function, until it ends.
func serve(path string, opened func(*websocket.Conn), take func(*websocket.Conn, int, []byte)) {
	http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		opened(conn)
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil {
				break
			}
			take(conn, kind, message)
		}
		lock.Lock()
		delete(members, conn)
		lock.Unlock()
	})
}

func nothing(*websocket.Conn) {}

func echo(conn *websocket.Conn, kind int, message []byte) {
	conn.WriteMessage(kind, message)
}

func join(conn *websocket.Conn) {
	lock.Lock()
	members[conn] = true
	lock.Unlock()
}

func publish(_ *websocket.Conn, kind int, message []byte) {
	prepared, err := websocket.NewPreparedMessage(kind, message)
	if err != nil {
		log.Fatal(err)
	}
	lock.Lock()
	defer lock.Unlock()
	for member := range members {
		member.WritePreparedMessage(prepared)
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	serve("/", nothing, echo)
	serve("/room", join, func(*websocket.Conn, int, []byte) {})
	serve("/publish", nothing, publish)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
