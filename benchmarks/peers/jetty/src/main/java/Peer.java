import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.thread.Invocable.InvocationType;
import org.eclipse.jetty.websocket.api.Callback;
import org.eclipse.jetty.websocket.api.Session;
import org.eclipse.jetty.websocket.server.WebSocketUpgradeHandler;

/** Jetty's own API, called on the thread that reads; permessage-deflate is agreed when offered. */
public class Peer {
    static final Set<Session> members = ConcurrentHashMap.newKeySet();

    public static class Echo implements Session.Listener.AutoDemanding {
        Session session;

        @Override
        public void onWebSocketOpen(Session session) {
            this.session = session;
        }

        @Override
        public void onWebSocketText(String message) {
            session.sendText(message, Callback.NOOP);
        }
    }

    public static class Member extends Echo {
        @Override
        public void onWebSocketOpen(Session session) {
            super.onWebSocketOpen(session);
            members.add(session);
        }

        @Override
        public void onWebSocketText(String message) {}

        @Override
        public void onWebSocketClose(int code, String reason, Callback done) {
            members.remove(session);
            done.succeed();
        }
    }

    public static class Publish extends Echo {
        @Override
        public void onWebSocketText(String message) {
            for (Session member : members) member.sendText(message, Callback.NOOP);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server, 1, 1);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(arguments[0]));
        server.addConnector(connector);
        server.setHandler(WebSocketUpgradeHandler.from(server, container -> {
            container.setMaxTextMessageSize(1 << 25);
            container.setMaxFrameSize(1 << 25);
            container.setIdleTimeout(Duration.ZERO);
            container.setInvocationType(InvocationType.NON_BLOCKING);
            container.addMapping("/", (request, response, callback) -> new Echo());
            container.addMapping("/room", (request, response, callback) -> new Member());
            container.addMapping("/publish", (request, response, callback) -> new Publish());
        }));
        server.start();
        server.join();
    }
}
