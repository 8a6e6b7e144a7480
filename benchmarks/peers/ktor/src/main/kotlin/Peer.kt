@file:JvmName("Peer")

// Ktor on Netty, with its deflate extension.
import io.ktor.server.application.install
import io.ktor.server.engine.embeddedServer
import io.ktor.server.netty.Netty
import io.ktor.server.routing.routing
import io.ktor.server.websocket.WebSockets
import io.ktor.server.websocket.webSocket
import io.ktor.websocket.Frame
import io.ktor.websocket.WebSocketDeflateExtension
import io.ktor.websocket.WebSocketSession
import java.util.concurrent.ConcurrentHashMap

val members: MutableSet<WebSocketSession> = ConcurrentHashMap.newKeySet()

fun main(arguments: Array<String>) {
    embeddedServer(Netty, host = "127.0.0.1", port = arguments[0].toInt()) {
        install(WebSockets) {
            maxFrameSize = 1L shl 25
            extensions { install(WebSocketDeflateExtension) }
        }
        routing {
            webSocket("/") {
                for (frame in incoming) send(frame)
            }
            webSocket("/room") {
                members.add(this)
                for (frame in incoming) continue
                members.remove(this)
            }
            webSocket("/publish") {
                for (frame in incoming) {
                    for (member in members) member.send(Frame.Text(true, frame.data))
                }
            }
        }
    }.start(wait = true)
}
