mod redis;
mod shared;
