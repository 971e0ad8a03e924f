//! A proxy before an S3 server that does what networks and servers do on bad days. Each connection carries one request,
//! which is passed on as it came, so that signatures hold.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// A request as it came: headers with names in lower case.
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    pub method: String,
    /// With the query.
    pub path: String,
    pub headers: Vec<(String, String)>,
}

impl ProxyRequest {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A conditional create: how a commit is put.
    pub fn is_create(&self) -> bool {
        self.method == "PUT" && self.header("if-none-match") == Some("*")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None: passed on.
    Pass,
    /// Answered by the proxy, with these headers and no body worth reading.
    Answer(&'static str, Vec<(&'static str, String)>),
    /// Neither passed on nor answered.
    Hang,
    /// Closed before it is passed on.
    Reset,
    /// So many bytes of its body are passed on, then both sides are closed.
    CutRequest(usize),
    /// So many bytes of the answer's body arrive.
    CutAnswer(usize),
    /// Passed on and carried out; the answer is lost.
    LoseAnswer,
}

type Decide = dyn Fn(&ProxyRequest) -> Fault + Send + Sync;

/// Lives as long as the process: each connection has a thread that ends with it.
#[derive(Clone)]
pub struct S3Proxy {
    address: SocketAddr,
    decide: Arc<Mutex<Arc<Decide>>>,
    requests: Arc<Mutex<Vec<ProxyRequest>>>,
}

impl S3Proxy {
    /// Before the server on this port of 127.0.0.1.
    pub fn start(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let pass: Arc<Decide> = Arc::new(|_: &ProxyRequest| Fault::Pass);
        let proxy =
            Self { address: listener.local_addr()?, decide: Arc::new(Mutex::new(pass)), requests: Arc::default() };
        let own = proxy.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || {
                    // Broken connections are what it is for.
                    let _ = own.carry(connection, port);
                });
            }
        });
        Ok(proxy)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn decide(&self, decide: impl Fn(&ProxyRequest) -> Fault + Send + Sync + 'static) {
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(decide);
    }

    /// Does it to the first `times` requests that `is_meant`, and then no more.
    pub fn fail(&self, times: usize, fault: Fault, is_meant: impl Fn(&ProxyRequest) -> bool + Send + Sync + 'static) {
        let left = Mutex::new(times);
        self.decide(move |request| {
            let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
            if *left == 0 || !is_meant(request) {
                return Fault::Pass;
            }
            *left -= 1;
            fault.clone()
        });
    }

    pub fn pass(&self) {
        self.decide(|_| Fault::Pass);
    }

    /// Those since the last call.
    pub fn requests(&self) -> Vec<ProxyRequest> {
        std::mem::take(&mut *self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn carry(&self, mut client: TcpStream, port: u16) -> std::io::Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let Some((head, request)) = head(&mut reader)? else { return Ok(()) };
        let decide = Arc::clone(&self.decide.lock().unwrap_or_else(PoisonError::into_inner));
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        let fault = decide(&request);
        let length: usize = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        match &fault {
            Fault::Hang => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            Fault::Reset => return client.shutdown(Shutdown::Both),
            Fault::Answer(status, headers) => {
                // The body is read first, so that the answer is not lost in the client's writing.
                std::io::copy(&mut (&mut reader).take(length as u64), &mut std::io::sink())?;
                let mut answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n");
                for (name, value) in headers {
                    answer.push_str(&format!("{name}: {value}\r\n"));
                }
                answer.push_str("\r\n");
                return client.write_all(answer.as_bytes());
            }
            Fault::Pass | Fault::CutRequest(_) | Fault::CutAnswer(_) | Fault::LoseAnswer => {}
        }
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        server.write_all(&head)?;
        let passed = if let Fault::CutRequest(bytes) = fault { bytes.min(length) } else { length };
        std::io::copy(&mut (&mut reader).take(passed as u64), &mut server)?;
        if matches!(fault, Fault::CutRequest(_)) {
            server.shutdown(Shutdown::Both)?;
            return client.shutdown(Shutdown::Both);
        }
        let mut answer = BufReader::new(server);
        let (head, body) = whole_answer(&mut answer, request.method == "HEAD")?;
        match fault {
            Fault::LoseAnswer => client.shutdown(Shutdown::Both),
            Fault::CutAnswer(bytes) => {
                client.write_all(&head)?;
                client.write_all(&body[..bytes.min(body.len())])?;
                client.shutdown(Shutdown::Both)
            }
            _ => {
                client.write_all(&head)?;
                client.write_all(&body)
            }
        }
    }
}

/// The head of a request as bytes and as parts; `None` at the end of the connection.
fn head(reader: &mut impl BufRead) -> std::io::Result<Option<(Vec<u8>, ProxyRequest)>> {
    let lines = lines(reader)?;
    let Some(first) = lines.first() else { return Ok(None) };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = lines[1..].iter().filter_map(|line| parts(line)).collect();
    Ok(Some(((lines.join("\r\n") + "\r\n\r\n").into_bytes(), ProxyRequest { method, path, headers })))
}

fn parts(line: &str) -> Option<(String, String)> {
    line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
}

fn lines(reader: &mut impl BufRead) -> std::io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            return Ok(lines);
        }
        lines.push(line.trim_end().to_owned());
    }
}

/// Head and body of an answer, the body in one piece whatever way it came.
fn whole_answer(reader: &mut impl BufRead, of_head: bool) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let lines = lines(reader)?;
    let header = |wanted: &str| {
        lines.iter().skip(1).filter_map(|line| parts(line)).find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    let bare = lines.first().is_some_and(|line| line.contains(" 204") || line.contains(" 304"));
    let length: Option<u64> = header("content-length").and_then(|value| value.parse().ok());
    let mut body = Vec::new();
    if header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            reader.take(size).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else if !of_head && !bare {
        reader.take(length.unwrap_or(u64::MAX)).read_to_end(&mut body)?;
    }
    let told = if of_head { length.unwrap_or(0) } else { body.len() as u64 };
    let mut head = String::new();
    for line in &lines {
        let kept = parts(line).is_none_or(|(name, _)| {
            !["content-length", "transfer-encoding", "connection", "keep-alive"].contains(&name.as_str())
        });
        if kept || line.starts_with("HTTP/") {
            head.push_str(line);
            head.push_str("\r\n");
        }
    }
    if !bare {
        head.push_str(&format!("content-length: {told}\r\n"));
    }
    head.push_str("connection: close\r\n\r\n");
    Ok((head.into_bytes(), body))
}
