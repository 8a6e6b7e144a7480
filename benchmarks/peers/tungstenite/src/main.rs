//! tokio-tungstenite on a runtime of one thread; it has no extensions.

use std::{cell::RefCell, collections::HashMap, convert::Infallible, rc::Rc};

use futures_util::{future::ready, stream::SplitSink, SinkExt, StreamExt, TryStreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::{spawn_local, LocalSet},
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        error::Error,
        handshake::server::{Request, Response},
        Message,
    },
    WebSocketStream,
};

type Socket = WebSocketStream<TcpStream>;
type Member = Rc<Mutex<SplitSink<Socket, Message>>>;
type Room = Rc<RefCell<HashMap<usize, Member>>>;

async fn serve(stream: TcpStream, number: usize, room: Room) -> Result<(), Error> {
    let mut path = String::new();
    let look = |request: &Request, response: Response| {
        path = request.uri().path().to_string();
        Ok(response)
    };
    let socket = accept_hdr_async(stream, look).await?;
    match path.as_str() {
        "/room" => member(socket, number, room).await,
        "/publish" => publish(socket, room).await,
        _ => echo(socket).await,
    }
}

async fn echo(socket: Socket) -> Result<(), Error> {
    let (writer, reader) = socket.split();
    let messages = reader.try_filter(|message| ready(message.is_text() || message.is_binary()));
    messages.forward(writer).await // writes once for all that have come
}

async fn member(socket: Socket, number: usize, room: Room) -> Result<(), Error> {
    let (writer, mut reader) = socket.split();
    room.borrow_mut().insert(number, Rc::new(Mutex::new(writer)));
    while let Some(Ok(_)) = reader.next().await {}
    room.borrow_mut().remove(&number);
    Ok(())
}

async fn publish(mut socket: Socket, room: Room) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if !message.is_text() && !message.is_binary() {
            continue;
        }
        let members: Vec<Member> = room.borrow().values().cloned().collect();
        for member in members {
            let _ = member.lock().await.send(message.clone()).await; // its own task sees it end
        }
    }
    Ok(())
}

async fn accept(port: u16) -> std::io::Result<Infallible> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let room = Room::default();
    let mut number = 0;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(serve(stream, number, room.clone()));
        number += 1;
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, accept(port)).map(|_| ())
}
