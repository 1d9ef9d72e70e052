DROP TABLE notifications;
DROP TABLE dispatches;
DROP TABLE events;
DROP TABLE participants;
