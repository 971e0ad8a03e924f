//! A web server for one test, on 127.0.0.1, which can do what servers should not: break off, hang, refuse.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A request as it came: its method and path, and its headers with names in lower case.
#[derive(Clone, Debug)]
pub struct WebRequest {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl WebRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub struct WebAnswer {
    /// Such as `200 OK`.
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Ends the connection after so many bytes of the body, though more were promised.
    pub cut_at: Option<usize>,
    /// Says nothing more, and keeps the connection open.
    pub hang: bool,
}

impl WebAnswer {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", headers: Vec::new(), body: body.into(), cut_at: None, hang: false }
    }

    pub fn status(status: &'static str) -> Self {
        Self { status, ..Self::ok("") }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Lives as long as the process: each connection has a thread that ends with it.
#[derive(Clone, Debug)]
pub struct Web {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<WebRequest>>>,
}

impl Web {
    /// `answer` gets the request and how many came before it.
    pub fn start(answer: impl Fn(&WebRequest, usize) -> WebAnswer + Send + Sync + 'static) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let web = Self { address: listener.local_addr()?, requests: Arc::default() };
        let (requests, answer) = (Arc::clone(&web.requests), Arc::new(answer));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                std::thread::spawn(move || {
                    // A client that goes away is part of the tests.
                    let _ = serve(connection, &requests, &*answer);
                });
            }
        });
        Ok(web)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<WebRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(
    mut connection: TcpStream,
    requests: &Mutex<Vec<WebRequest>>,
    answer: &dyn Fn(&WebRequest, usize) -> WebAnswer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.trim().split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let request = WebRequest { method, path, headers };
    let before = {
        let mut requests = requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request.clone());
        requests.len() - 1
    };
    let answer = answer(&request, before);
    if answer.hang && answer.body.is_empty() {
        return wait_for_end(&mut reader);
    }
    let mut head =
        format!("HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    connection.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return connection.flush();
    }
    let sent = answer.cut_at.unwrap_or(answer.body.len()).min(answer.body.len());
    connection.write_all(&answer.body[..sent])?;
    connection.flush()?;
    if answer.hang { wait_for_end(&mut reader) } else { Ok(()) }
}

fn wait_for_end(reader: &mut BufReader<TcpStream>) -> std::io::Result<()> {
    reader.read_to_end(&mut Vec::new()).map(|_| ())
}
