mod network;
mod redis;
mod shared;
mod survivors;
