SELECT id FROM node
