// The application's own parts: a token, and what it does in a session that is new.
let rejoined;
const inAgain = new Promise((done) => { rejoined = done; });
const rejoinRooms = () => rejoined();
const freshToken = async () => process.env.TOKEN;

// block 1

await inAgain;
socket.close();
