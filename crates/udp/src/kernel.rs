//! The syscalls that take many datagrams at once. This is the one module with unsafe code: neither the standard
//! library nor a crate of ours offers `recvmmsg` and `sendmmsg` over prepared headers, and both want raw pointers.
//! Everything else (forms of addresses and control messages, what is sent when, what an error means) is outside and
//! safe.

use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use libc::{iovec, mmsghdr};

use crate::address::{ADDRESS_BYTES, Address, Family};
use crate::control::{self, CONTROL_BYTES, Space};
use crate::outgoing::{Piece, Wire};

/// Messages a syscall, in either direction. More does not make a datagram cheaper: at 64 the call itself is about
/// a hundredth of the cost.
pub(crate) const BATCH: usize = 64;

/// What `SO_MEMINFO` fills, up to the field that matters here and one more.
const MEMORY_FIELDS: usize = 9;

pub(crate) fn set_option(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the pointer is to an integer that lives during the call, and its size is given.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The fields of `SO_MEMINFO`, in the kernel's order.
pub(crate) fn memory(fd: BorrowedFd<'_>) -> io::Result<[u32; MEMORY_FIELDS]> {
    let mut fields = [0_u32; MEMORY_FIELDS];
    let mut len = size_of_val(&fields) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, which is the size of the array.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            fields.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(fields) } else { Err(io::Error::last_os_error()) }
}

/// `sendmmsg` on a socket.
pub(crate) struct Many<'a> {
    pub(crate) fd: BorrowedFd<'a>,
    pub(crate) family: Family,
}

impl Wire for Many<'_> {
    fn send<'b>(&mut self, pieces: impl Iterator<Item = Piece<'b>>) -> io::Result<usize> {
        // On the stack and not initialised: a call with one message must not pay for 64.
        let mut headers = [const { MaybeUninit::<mmsghdr>::uninit() }; BATCH];
        let mut vectors = [const { MaybeUninit::<iovec>::uninit() }; BATCH];
        let mut spaces = [const { MaybeUninit::<Space>::uninit() }; BATCH];
        let mut count = 0;
        let places = headers.iter_mut().zip(&mut vectors).zip(&mut spaces);
        for (((header, vector), space), piece) in places.zip(pieces) {
            let vector = vector.write(iovec {
                // The kernel only reads what it sends; the C type does not say so.
                iov_base: piece.payload.as_ptr().cast_mut().cast(),
                iov_len: piece.payload.len(),
            });
            let name = piece.to.as_bytes();
            // SAFETY: a struct of integers and pointers, for which zero is a value. Some C libraries have padding
            // fields in it that cannot be named.
            let header = header.write(unsafe { MaybeUninit::zeroed().assume_init() });
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len() as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            if piece.segment.is_some() || piece.from.is_some() {
                let space = space.write(Space([0; CONTROL_BYTES]));
                let len = control::write(space, piece.segment, piece.from, self.family);
                if len > 0 {
                    header.msg_hdr.msg_control = space.0.as_mut_ptr().cast();
                    header.msg_hdr.msg_controllen = len as _;
                }
            }
            count += 1;
        }
        if count == 0 {
            return Ok(0);
        }
        // SAFETY: the first `count` headers were written above. What they point to (addresses and payloads borrowed
        // for 'b, vectors and spaces on this stack) outlives the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                count,
                (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Memory with a fixed place that the kernel is told of once: it is only reached through this pointer, so that
/// pointers made from it stay good while the owner moves.
struct Fixed<T>(NonNull<[T]>);

impl<T: Clone> Fixed<T> {
    fn new(value: T, len: usize) -> Self {
        let memory = Box::into_raw(vec![value; len].into_boxed_slice());
        Self(NonNull::new(memory).expect("a box is never null"))
    }
}

impl<T> Fixed<T> {
    fn start(&self) -> *mut T {
        self.0.as_ptr().cast()
    }
}

impl<T> Deref for Fixed<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: made from a box and freed only on drop; the borrow of self keeps others from writing.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Fixed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and self is borrowed exclusively.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Fixed<T> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, freed once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Where `recvmmsg` puts what it reads: 64 slots of equal size with their addresses and control messages.
pub(crate) struct Slots {
    headers: Fixed<mmsghdr>,
    /// Only the kernel reads these.
    _vectors: Fixed<iovec>,
    names: Fixed<[u8; ADDRESS_BYTES]>,
    spaces: Fixed<Space>,
    payloads: Fixed<u8>,
    slot_bytes: usize,
    /// So many headers were written by the last call.
    filled: usize,
    /// Whether the socket says anything beside datagrams.
    with_control: bool,
}

// SAFETY: the pointers in the headers lead to memory that this value owns and nobody else reaches.
unsafe impl Send for Slots {}

/// One received message.
pub(crate) struct Slot<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) control: &'a [u8],
    pub(crate) payload: &'a mut [u8],
    pub(crate) is_truncated: bool,
}

impl Slots {
    pub(crate) fn new(slot_bytes: usize, with_control: bool) -> Self {
        let payloads = Fixed::new(0_u8, BATCH * slot_bytes);
        let names = Fixed::new([0; ADDRESS_BYTES], BATCH);
        let spaces = Fixed::new(Space([0; CONTROL_BYTES]), BATCH);
        let mut vectors = Fixed::new(iovec { iov_base: ptr::null_mut(), iov_len: slot_bytes }, BATCH);
        for (index, vector) in vectors.iter_mut().enumerate() {
            // SAFETY: within the memory of `BATCH` slots.
            vector.iov_base = unsafe { payloads.start().add(index * slot_bytes) }.cast();
        }
        // SAFETY: zero is a value of this struct.
        let mut headers = Fixed::new(unsafe { MaybeUninit::<mmsghdr>::zeroed().assume_init() }, BATCH);
        for (index, header) in headers.iter_mut().enumerate() {
            // SAFETY: each within memory of `BATCH` elements.
            unsafe {
                header.msg_hdr.msg_name = names.start().add(index).cast();
                header.msg_hdr.msg_iov = vectors.start().add(index);
                header.msg_hdr.msg_control =
                    if with_control { spaces.start().add(index).cast() } else { ptr::null_mut() };
            }
            header.msg_hdr.msg_iovlen = 1;
        }
        Self { headers, _vectors: vectors, names, spaces, payloads, slot_bytes, filled: BATCH, with_control }
    }

    pub(crate) fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Reads up to 64 messages. What was read before is forgotten.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        // The kernel has written into these only.
        let control_bytes = if self.with_control { CONTROL_BYTES } else { 0 };
        for header in &mut self.headers[..self.filled] {
            header.msg_hdr.msg_namelen = ADDRESS_BYTES as libc::socklen_t;
            header.msg_hdr.msg_controllen = control_bytes as _;
            header.msg_hdr.msg_flags = 0;
        }
        self.filled = 0;
        // SAFETY: `BATCH` headers, each with pointers to memory of this value and the sizes of it; the exclusive
        // borrow keeps everybody else away from it.
        let read = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.start(),
                BATCH as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        self.filled = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
        Ok(self.filled)
    }

    /// A message of the last call, `None` behind the last.
    pub(crate) fn get(&mut self, index: usize) -> Option<Slot<'_>> {
        let header = self.headers[..self.filled].get(index)?;
        let name_bytes = (header.msg_hdr.msg_namelen as usize).min(ADDRESS_BYTES);
        #[allow(clippy::unnecessary_cast, reason = "it has 32 bits in other C libraries")]
        let control_bytes = if self.with_control { header.msg_hdr.msg_controllen as usize } else { 0 };
        let start = index * self.slot_bytes;
        let payload_bytes = (header.msg_len as usize).min(self.slot_bytes);
        Some(Slot {
            name: &self.names[index][..name_bytes],
            control: &self.spaces[index].0[..control_bytes.min(CONTROL_BYTES)],
            is_truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            payload: &mut self.payloads[start..start + payload_bytes],
        })
    }
}

// The kernel takes an address as a pointer to its first byte and a length.
const _: () = assert!(size_of::<Address>() >= ADDRESS_BYTES);
