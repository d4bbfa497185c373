// What Rust's standard library makes of threads, each part checked: std::thread with names, results,
// panics and scopes, park and unpark, mpsc, Mutex, Condvar, RwLock, Barrier, Once, thread-locals with
// destructors, sleeping, and a TCP server with a thread for each connection. It knows nothing of
// coir. It prints a line for each part; then many threads stand parked until a line comes on stdin.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const PARKED: usize = 500;

fn results_and_names() {
    let threads: Vec<_> = (0..200u64)
        .map(|i| {
            thread::Builder::new()
                .name(format!("adder-{i}"))
                .spawn(move || (thread::current().name().map(str::to_owned), (0..=i).sum::<u64>()))
                .expect("a thread")
        })
        .collect();
    for (i, thread) in threads.into_iter().enumerate() {
        let (name, sum) = thread.join().expect("a result");
        assert_eq!(name, Some(format!("adder-{i}")));
        assert_eq!(sum, (i * (i + 1) / 2) as u64);
    }
}

fn panics_come_out_of_join() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    for i in 0..50 {
        let error = thread::spawn(move || {
            let _held = vec![0u8; 1000];
            if i >= 0 {
                panic!("number {i}");
            }
        })
        .join()
        .expect_err("a panic");
        assert_eq!(error.downcast_ref::<String>(), Some(&format!("number {i}")));
    }
    let poisoned = Arc::new(Mutex::new(0));
    let inner = Arc::clone(&poisoned);
    assert!(thread::spawn(move || {
        let _guard = inner.lock().expect("the lock");
        panic!("holding it");
    })
    .join()
    .is_err());
    assert!(poisoned.lock().is_err());
    panic::set_hook(hook);
}

fn channels() {
    let (sender, receiver) = mpsc::channel::<usize>();
    let senders: Vec<_> = (0..20)
        .map(|i| {
            let sender = sender.clone();
            thread::spawn(move || (0..1000).for_each(|n| sender.send(i * 1000 + n).expect("sent")))
        })
        .collect();
    drop(sender);
    assert_eq!(receiver.iter().sum::<usize>(), (0..20_000).sum());
    senders.into_iter().for_each(|sender| sender.join().expect("an end"));

    // A channel without room hands each value over from thread to thread.
    let (sender, receiver) = mpsc::sync_channel(0);
    let producer = thread::spawn(move || (0..2000u32).for_each(|n| sender.send(n).expect("sent")));
    for n in 0..2000 {
        assert_eq!(receiver.recv_timeout(PATIENCE), Ok(n));
    }
    producer.join().expect("an end");
    assert_eq!(receiver.recv(), Err(mpsc::RecvError));
    let (_sender, silent) = mpsc::channel::<()>();
    let begun = Instant::now();
    assert_eq!(
        silent.recv_timeout(Duration::from_millis(20)),
        Err(mpsc::RecvTimeoutError::Timeout)
    );
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

fn locks() {
    let counter = Arc::new(Mutex::new(0u64));
    let table = Arc::new(RwLock::new(HashMap::new()));
    let together = Arc::new(Barrier::new(16));
    let leaders = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..16u64)
        .map(|i| {
            let (counter, table) = (Arc::clone(&counter), Arc::clone(&table));
            let (together, leaders) = (Arc::clone(&together), Arc::clone(&leaders));
            thread::spawn(move || {
                for n in 0..500 {
                    *counter.lock().expect("the lock") += 1;
                    if n % 50 == 0 {
                        table.write().expect("the lock").insert((i, n), i * n);
                    } else {
                        let table = table.read().expect("the lock");
                        assert!(table.iter().all(|((i, n), product)| i * n == *product));
                    }
                    if n % 100 == 0 && together.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("an end"));
    assert_eq!(*counter.lock().expect("the lock"), 16 * 500);
    assert_eq!(table.read().expect("the lock").len(), 16 * 10);
    assert_eq!(leaders.load(Ordering::Relaxed), 5);
}

fn conditions() {
    let shared = Arc::new((Mutex::new(0usize), Condvar::new()));
    let threads: Vec<_> = (0..8usize)
        .map(|i| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (turn, changed) = &*shared;
                for _ in 0..200 {
                    let turn_now = turn.lock().expect("the lock");
                    let (mut turn_now, late) = changed
                        .wait_timeout_while(turn_now, PATIENCE, |turn| *turn % 8 != i)
                        .expect("the lock");
                    assert!(!late.timed_out());
                    *turn_now += 1;
                    changed.notify_all();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("an end"));
    let (turn, changed) = &*shared;
    let turn = turn.lock().expect("the lock");
    assert_eq!(*turn, 8 * 200);
    let (_turn, late) = changed.wait_timeout(turn, Duration::from_millis(20)).expect("the lock");
    assert!(late.timed_out());
}

fn parking() {
    let is_set = Arc::new(AtomicBool::new(false));
    let inner = Arc::clone(&is_set);
    let parked = thread::spawn(move || {
        while !inner.load(Ordering::Acquire) {
            thread::park();
        }
        thread::park_timeout(Duration::from_millis(1));
    });
    is_set.store(true, Ordering::Release);
    parked.thread().unpark();
    parked.join().expect("an end");
    thread::current().unpark();
    thread::park(); // the token that was left before
    let begun = Instant::now();
    thread::park_timeout(Duration::from_millis(20));
    thread::sleep(Duration::from_millis(20));
    assert!(begun.elapsed() >= Duration::from_millis(20));
}

static DESTROYED: AtomicUsize = AtomicUsize::new(0);

struct Counted(Vec<u8>);

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(self.0.iter().all(|byte| *byte == self.0[0]));
        DESTROYED.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! {
    static OWN: RefCell<Vec<Counted>> = RefCell::new(Vec::new());
}

fn thread_locals() {
    let threads: Vec<_> = (0..100u8)
        .map(|i| {
            thread::spawn(move || {
                for n in 0..10 {
                    OWN.with(|own| own.borrow_mut().push(Counted(vec![i; 100 + n])));
                    thread::yield_now();
                }
                OWN.with(|own| assert!(own.borrow().iter().all(|counted| counted.0[0] == i)));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("an end"));
    assert_eq!(DESTROYED.load(Ordering::SeqCst), 1000);
    OWN.with(|own| assert!(own.borrow().is_empty()));
}

fn scopes() {
    let mut numbers: Vec<u64> = (0..10_000).collect();
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for part in numbers.chunks_mut(100) {
            let total = &total;
            scope.spawn(move || {
                part.iter_mut().for_each(|number| *number *= 2);
                total.fetch_add(part.len(), Ordering::Relaxed);
            });
        }
    });
    assert_eq!(total.into_inner(), 10_000);
    assert_eq!(numbers.iter().sum::<u64>(), 9_999 * 10_000);
}

fn once() {
    static BEGIN: Once = Once::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                BEGIN.call_once(|| {
                    thread::sleep(Duration::from_millis(5));
                    COUNT.fetch_add(1, Ordering::SeqCst);
                });
                assert_eq!(COUNT.load(Ordering::SeqCst), 1);
            });
        }
    });
}

fn echo(mut stream: TcpStream) -> io::Result<usize> {
    let (mut buffer, mut bytes) = ([0u8; 4096], 0);
    loop {
        let size = stream.read(&mut buffer)?;
        if size == 0 {
            return Ok(bytes);
        }
        stream.write_all(&buffer[..size])?;
        bytes += size;
    }
}

fn client(port: u16, number: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let message: Vec<u8> = (0..3000).map(|n| (n * 7 + number) as u8).collect();
    let mut answer = vec![0; message.len()];
    for _ in 0..20 {
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, message);
    }
    stream.shutdown(Shutdown::Write)?;
    assert_eq!(stream.read(&mut answer)?, 0);
    Ok(())
}

fn tcp() {
    const CLIENTS: usize = 120; // fewer than the backlog that the library asks for
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = thread::spawn(move || {
        let threads: Vec<_> = listener
            .incoming()
            .take(CLIENTS)
            .map(|stream| thread::spawn(move || echo(stream.expect("a connection"))))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("an end").expect("an echo"))
            .sum::<usize>()
    });
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || client(port, number).expect("a client"));
        }
    });
    assert_eq!(server.join().expect("an end"), CLIENTS * 20 * 3000);

    // A read on a connection that is silent ends in time.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let mut silent = TcpStream::connect(listener.local_addr().expect("an address")).expect("it");
    silent.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let error = silent.read(&mut [0]).expect_err("no data");
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

fn parked_threads() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let begun = Arc::new(Barrier::new(PARKED + 1));
    let threads: Vec<_> = (0..PARKED)
        .map(|_| {
            let (gate, begun) = (Arc::clone(&gate), Arc::clone(&begun));
            thread::spawn(move || {
                begun.wait();
                let (is_open, changed) = &*gate;
                let guard = is_open.lock().expect("the lock");
                drop(changed.wait_while(guard, |is_open| !*is_open).expect("the lock"));
            })
        })
        .collect();
    begun.wait();
    println!("{PARKED} threads wait for a line");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).expect("a line");
    *gate.0.lock().expect("the lock") = true;
    gate.1.notify_all();
    threads.into_iter().for_each(|thread| thread.join().expect("an end"));
    println!("went on after: {}", line.trim());
}

fn main() {
    let parts: [(&str, fn()); 10] = [
        ("results and names", results_and_names),
        ("panics come out of join", panics_come_out_of_join),
        ("channels", channels),
        ("locks", locks),
        ("conditions", conditions),
        ("parking", parking),
        ("thread-locals", thread_locals),
        ("scopes", scopes),
        ("once", once),
        ("tcp", tcp),
    ];
    for (name, part) in parts {
        part();
        println!("ok: {name}");
    }
    parked_threads();
}
