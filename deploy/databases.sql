-- PostgreSQL runs this once, when its volume is new: the databases that FDI moves rows between.

CREATE DATABASE operations;
CREATE DATABASE warehouse;

\connect operations
CREATE TABLE orders (id integer PRIMARY KEY, amount numeric(10, 2) NOT NULL);
INSERT INTO orders SELECT number, number * 1.5 FROM generate_series(1, 1000) AS number;

\connect warehouse
CREATE TABLE dwh_orders (order_id integer PRIMARY KEY, total numeric(10, 2) NOT NULL);
